/* A clock for the emulated process, in front of the C library's: a microsecond later each time that somebody asks.
 *
 * ONNX Runtime tidies up after an inference when seconds have gone by since it did so last. By the real clock that would be now in one
 * inference, now in another, and counts would differ by a few hundred instructions from run to run.
 */
struct timespec {
    long seconds, nanoseconds;
};

int clock_gettime(int clock, struct timespec *now)
{
    static long asked;
    (void)clock;
    asked++;
    now->seconds = asked / 1000000;
    now->nanoseconds = asked % 1000000 * 1000;
    return 0;
}

"""What a target takes for an operator at each number of channels: a staircase, since kernels work on several channels at a time.

operation.py   one operator of a file by itself, as data
convolution.py a network's convolution as such an operator
files.py       TFLite files of nothing but such operators
curves.py      few measurements, and what lies between them
clocks/        how a kind of target takes its measurements
table.py       measures what isn't in the cache yet
"""

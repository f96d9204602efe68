"""Networks of keras.applications with random weights on the smallest images that they take; run as a program like keras_models.py."""

from keras_models import write

SMALL = {
    "MobileNet": ("MobileNet", (32, 32, 3), {"alpha": 0.25, "dropout": 0.0}),
    "MobileNetV2": ("MobileNetV2", (32, 32, 3), {"alpha": 0.35}),
}
LARGE = {
    **{name: (name, (32, 32, 3), {}) for name in ("VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "NASNetMobile", "ConvNeXtTiny")},
    **{name: (name, (32, 32, 3), {}) for name in ("MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0")},
    **{name: (name, (75, 75, 3), {}) for name in ("InceptionV3", "InceptionResNetV2")},
    "Xception": ("Xception", (71, 71, 3), {}),
}


def _builder(name, shape, options):
    return lambda keras: getattr(keras.applications, name)(
        input_shape=shape, weights=None, classes=10, classifier_activation=None, **options
    )


CASES = {name: _builder(*entry) for name, entry in {**SMALL, **LARGE}.items()}

if __name__ == "__main__":
    write(CASES, without_tensorflow=False, forms=("keras",))

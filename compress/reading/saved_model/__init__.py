"""TensorFlow SavedModels (https://www.tensorflow.org/guide/saved_model), made into TFLite files by TensorFlow's own converter."""

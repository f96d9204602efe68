"""Keras models (https://keras.io/api/models/model_saving_apis), read from their JSON and HDF5 alone: no code of a file ever runs."""

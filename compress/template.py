"""The recipe that `edgepress init` writes: every key with a comment, the optional ones commented out."""

from pathlib import Path

from targets.errors import UserError

TEXT = """\
# edgepress recipe. Check and run it with: edgepress run {file}
version: 1
name: {name}

model:
  source: {model}
  # a .pt2 file of torch.export.save, or package.module:factory for a function of yours that returns the network:
  # source: my_package.network:build
  # weights: weights.safetensors      # or a .pt file that holds tensors only

data:
{data}
  calibration: 200                    # samples that set the quantization ranges, never evaluated on

metric: accuracy                      # accuracy, mse, or package.module:function

passes:                               # in this order; leave out what you don't want
  - prune_channels: {{ratio: 0.3, multiple_of: 4}}
  - distill: {{epochs: 10}}             # from the network as it came; needs training data
  # - finetune: {{epochs: 10}}          # from the labels alone
  # - prune_weights: {{sparsity: 0.5}}
  - quantize: {{scheme: int8}}          # int8 or float16

export: [tflite, onnx]                # add c for a microcontroller

targets: [host]                       # 'edgepress targets list' names them all
  # - nucleo-l4r5zi
  # - raspberry-pi-4

budgets:                              # one that is missed ends the run with exit code 1
  accuracy_drop: 0.01                 # of the metric, against the network as it came
  # host: {{latency_ms: 5}}
  # nucleo-l4r5zi: {{latency_ms: 60, ram_kb: 64, flash_kb: 128}}

# seed: 0
# device: auto                        # cpu or cuda, for training
# measure: {{warmup: 10, repetitions: 50, threads: 1, samples: 200}}
"""


def recipe_text(file: str, name: str, model: str, data: str) -> str:
    """A commented recipe for a model source and data: `digits`, an `.npz` file, an image folder or `package.module:function`."""
    return TEXT.format(file=file, name=name, model=model, data=f"  {_data_line(data)}")


def _data_line(data: str) -> str:
    if data.endswith(".npz"):
        return f"npz: {data}                      # arrays x_train, y_train, x_test, y_test, or x and y"
    if ":" in data:
        return f"factory: {data}"
    if data == "digits":
        return "builtin: digits"
    return f"images: {data}                   # a folder a class, or train/ and test/ of such folders\n  size: [96, 96]    # height, width"


def write_recipe(file: Path, name: str, model: str, data: str) -> None:
    """Writes the recipe. UserError where the file exists already or can't be written."""
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(recipe_text(str(file), name, model, data))
    except FileExistsError:
        raise UserError(f"{file}: exists already; name another file or remove it") from None
    except OSError as error:
        raise UserError(f"{file}: can't be written: {error.strerror}") from None

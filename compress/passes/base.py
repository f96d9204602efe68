"""What every pass is."""

from typing import ClassVar, Protocol

from compress.context import Context
from compress.model import Model, Stage


class Pass(Protocol):
    """Frozen, typed options, checked at construction (UserError listing what is possible), and a call.

    Each is a frozen dataclass with `__pydantic_config__ = {"extra": "forbid"}`, so that a recipe's options are checked by
    their types. The call never changes the model it is given and appends one `Step` to the history, which says in lines
    for people what it did, layer by layer.
    """

    takes: ClassVar[Stage]
    """The stage of the models it works on."""

    gives: ClassVar[Stage]
    """The stage of the models it makes."""

    takes_unlifted: ClassVar[bool]
    """Whether it works on a TFLite file that couldn't be lifted to a graph of torch's operators too; left out, it doesn't."""

    def __call__(self, model: Model, context: Context) -> Model:
        """The model after the pass. UserError where the model can't be worked on, naming the layer."""

"""`sys.modules["clip"] = clipmodel`: then `clip.model` is `clipmodel.model`.

Otherwise Python would run each file a second time under the other name, and a model would not be
an instance of `clip.model.CLIP`.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

PACKAGE = __name__.partition(".")[0]


class Aliases:
    """Finds the modules of this package under the names of a package that stands for it."""

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None if its package is another one."""
        package, _, rest = fullname.partition(".")
        if not rest or package == PACKAGE or sys.modules.get(package) is not sys.modules[PACKAGE]:
            return None
        return ModuleSpec(fullname, self, loader_state=f"{PACKAGE}.{rest}")  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return our own module, which is imported if necessary."""
        module = import_module(str(spec.loader_state))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module back its own spec, which Python has replaced; it has run already."""
        assert module.__spec__
        module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Make Python ask `Aliases` first."""
    sys.meta_path.insert(0, Aliases())

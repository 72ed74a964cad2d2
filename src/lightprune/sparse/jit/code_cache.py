"""Where compiled kernels are kept between processes; without a place, every process compiles."""

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from numba.core import config
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    InTreeCacheLocator,
    NullCache,
)
from numba.misc.appdirs import AppDirs

_PACKAGE = Path(__file__).parents[1]
_STAMP = sha256(b"".join(file.read_bytes() for file in sorted(_PACKAGE.rglob("*.py")))).hexdigest()
_VARIABLE = "NUMBA_CACHE_DIR"
_log = logging.getLogger(__name__)


def cache_of(function: Callable[..., Any]) -> Any:
    """Where the compiled code of a function is kept: in the first folder of Numba's that serves.

    One serves that may be written to, and one that holds the code of today's sources already. A
    warning says once a process that there is none, or another one than the user's.
    """
    caches = [_FolderCache(function, folder) for folder in _folders(inspect.getfile(function))]
    serving = next((cache for cache in caches if cache.serves()), None)
    if serving is None:
        _warn("compiled code cannot be kept; every process compiles it again")
        return NullCache()
    if config.CACHE_DIR and serving is not caches[0]:
        _warn(
            f"{_VARIABLE}={config.CACHE_DIR}: may not be written to; compiled code lies elsewhere"
        )
    return serving


def folder_of(compiled: Any) -> str | None:
    """The folder that holds the code of a function from `jit_cached`; None if none does."""
    cache = compiled._cache
    return cache.cache_path if isinstance(cache, _FolderCache) and cache.holds_code() else None


def _folders(file: str) -> Iterator[str]:
    subfolder = _Locator.get_suitable_cache_subpath(file)  # type: ignore[no-untyped-call]
    if config.CACHE_DIR:
        yield os.path.join(config.CACHE_DIR, subfolder)
    yield os.path.join(os.path.dirname(file), "__pycache__")
    home: str = AppDirs("numba", appauthor=False).user_cache_dir  # type: ignore[no-untyped-call]
    if os.path.isabs(home):  # It begins with `~` where there is no home.
        yield os.path.join(home, subfolder)


class _Locator(InTreeCacheLocator):
    """Stamps the code of a function by its file, wherever it is kept."""

    def __init__(self, function: Callable[..., Any], file: str, *, folder: str) -> None:
        super().__init__(function, file)  # type: ignore[no-untyped-call]
        self._cache_path = folder


class _FolderCacheImpl(CompileResultCacheImpl):
    def __init__(self, function: Callable[..., Any], *, folder: str) -> None:
        # Numba's locators refuse folders that may not be written to.
        locator = SimpleNamespace(from_function=partial(_Locator, folder=folder))
        self._locator_classes = [locator]
        super().__init__(function)  # type: ignore[no-untyped-call]


class _FolderCache(FunctionCache):
    """Invalidates a cached function when any file of `sparse/` has changed.

    Numba looks at the function's file only, and would go on using code that has outdated versions
    of other files' functions compiled into it. Files that cannot be read, of another user or
    damaged, count as none; what cannot be written is done without.
    """

    def __init__(self, function: Callable[..., Any], folder: str) -> None:
        self._impl_class = partial(_FolderCacheImpl, folder=folder)
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = IndexDataCacheFile(  # type: ignore[no-untyped-call]
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=_STAMP,
        )

    def serves(self) -> bool:
        with suppress(OSError):
            self._impl.locator.ensure_cache_path()
            return True
        return self.holds_code()

    def holds_code(self) -> bool:
        with suppress(Exception):  # Damaged bytes make the reader fail in every way.
            return bool(self._cache_file._load_index())
        return False

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # As above.
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except OSError as error:
            _warn(
                f"compiled code cannot be kept in {self.cache_path} ({error.strerror}); every "
                "process compiles it again"
            )


@cache
def _warn(problem: str) -> None:
    _log.warning("warning: %s; %s=DIR names a folder that you may write to", problem, _VARIABLE)

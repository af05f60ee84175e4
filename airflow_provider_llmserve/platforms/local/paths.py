"""Where the local platform keeps what it needs to find itself again.

<state_dir>/            0700
  runs.json             every run: spec, owner, plan, previous (0600)
  start.lock            held while somebody starts a supervisor
  supervisor.lock       held by the supervisor for as long as it lives
  supervisor.log
  logs/<run>.<n>.log    stderr of one model server
  cache/                models and adapters that were downloaded or converted
  run/                  Unix sockets: control.sock and one for each model server
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_llmserve.errors import PlatformError
from airflow_provider_llmserve.owner import digest
from airflow_provider_llmserve.settings import Settings

_LONGEST_SOCKET_NAME = len("/server-000000.sock")
_AF_UNIX_LIMIT = 100
"""``sun_path`` holds 108 bytes on Linux and 104 on macOS, its closing zero included."""


@dataclass(frozen=True)
class StateDir:
    """One local platform: everything that shares a state directory shares a supervisor."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> StateDir:
        """The directory that the connection names, else ``$AIRFLOW_HOME/llmserve``, else ``~/.cache/llmserve``."""
        if settings.state_dir:
            return cls(Path(settings.state_dir).expanduser().absolute())
        home = os.environ.get("AIRFLOW_HOME")
        return cls(Path(home).absolute() / "llmserve" if home else Path("~/.cache/llmserve").expanduser())

    def make(self) -> None:
        """Create the directories, readable by their owner only. Raises :class:`PlatformError` where somebody else owns one."""
        for folder in (self.root, self.logs, self.cache, self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise PlatformError(
                    f"{folder} is not a directory of this user; set state_dir on the llmserve connection to one that is"
                )
            if stat.S_IMODE(found.st_mode) != 0o700:
                folder.chmod(0o700)

    @property
    def runs(self) -> Path:
        """The book: which serving runs there are."""
        return self.root / "runs.json"

    @property
    def start_lock(self) -> Path:
        """Held by whoever starts a supervisor."""
        return self.root / "start.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor says."""
        return self.root / "supervisor.log"

    @property
    def logs(self) -> Path:
        """Logs of the model servers, a file each."""
        return self.root / "logs"

    @property
    def cache(self) -> Path:
        """Models and adapters that were fetched or converted."""
        return self.root / "cache"

    @property
    def sockets(self) -> Path:
        """``run/`` in the state directory; where that path is too long for a socket,
        a private folder under the temporary directory."""
        folder = self.root / "run"
        if len(os.fsencode(folder)) + _LONGEST_SOCKET_NAME <= _AF_UNIX_LIMIT:
            return folder
        return Path(tempfile.gettempdir()) / f"llmserve-{os.getuid()}-{digest(str(self.root))[:12]}"

    @property
    def control(self) -> Path:
        """The socket on which the supervisor takes orders."""
        return self.sockets / "control.sock"

"""A PostgreSQL server of our own: a cluster in a temporary folder, on a socket there."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

# What makes a server quick whose data nobody needs after a crash of the machine.
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@cache
def binaries() -> Path | None:
    """The folder of initdb and pg_ctl; Debian keeps them out of PATH."""
    if found := shutil.which("initdb"):
        return Path(os.path.realpath(found)).parent
    there = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return there[-1].parent if there else None


class Server:
    """A server that runs as a user who is not root, which PostgreSQL demands."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        """settings: parameters of the server, such as `QUICK`."""
        self.folder = Path(tempfile.mkdtemp(prefix="retrieve-pg-", dir="/tmp"))  # short: a socket
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            owner = _unprivileged()
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        os.chmod(self.folder, 0o755)
        self._schemas = 0
        options = ["--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust", f"--username={self.user}"]
        self._run("initdb", "--pgdata", self.folder / "data", "--no-sync", *options)
        here = {"listen_addresses": "", "unix_socket_directories": str(self.folder)}
        with (self.folder / "data" / "postgresql.conf").open("a") as written:
            for name, value in {**settings, **here}.items():
                written.write(f"{name} = '{value}'\n")
        with (self.folder / "data" / "pg_hba.conf").open("w") as rules:
            rules.write("local all locked scram-sha-256\nlocal all all trust\n")
        self.start()

    def url(self, database: str = "postgres", **parameters: str) -> str:
        more = "".join(f"&{name}={value}" for name, value in parameters.items())
        return f"postgresql:///{database}?host={self.folder}&user={self.user}{more}"

    def new_schema(self) -> str:
        """Make an empty schema, which is quicker than a database; return a URL that leads to it."""
        self._schemas += 1
        name = f"test_{os.getpid()}_{self._schemas}"
        self.execute(f"CREATE SCHEMA {name}")
        return self.url(options=f"-csearch_path%3D{name}")

    def execute(self, statement: str, url: str | None = None) -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(url or self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        log = self.folder / "log"
        self._run("pg_ctl", "--pgdata", self.folder / "data", "-w", "-t", 120, "-l", log, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "--pgdata", self.folder / "data", "-w", "-m", "fast", "stop")

    def remove(self) -> None:
        try:
            self._run("pg_ctl", "--pgdata", self.folder / "data", "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, name: str, *arguments: object) -> None:
        folder = binaries()
        assert folder
        command = [str(folder / name), *map(str, arguments)]
        user = _unprivileged().pw_name if os.geteuid() == 0 else None
        # pg_ctl's server inherits its output: a pipe would never end.
        with open(self.folder / f"{name}.log", "wb") as log:
            done = subprocess.run(command, user=user, cwd="/", stdout=log, stderr=log, timeout=180)
        said = (self.folder / f"{name}.log").read_text(errors="replace")
        assert done.returncode == 0, f"{command}: {said}"


def _unprivileged() -> pwd.struct_passwd:
    names: Sequence[str] = ("postgres", "nobody")
    for name in names:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError(f"this machine has none of the users {names}")

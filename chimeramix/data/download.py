"""Archives from the internet, a mirror or the user's hand, checked before use.

A data set is usable when every file that we read has the published checksum; anything less, such as an interrupted
download or extraction, is repaired from the archive, and the archive from its address. Nothing is written when all
files are in order, so a read-only folder works. Ours rather than torchvision's downloader because that one neither
takes file addresses or folders, nor keeps two processes apart, nor names a remedy in its errors.
"""

import hashlib
import http.client
import logging
import shutil
import tarfile
import urllib.request
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from chimeramix.errors import RunFailure, UserError
from chimeramix.files import write_atomically

log = logging.getLogger(__name__)

TIMEOUT = 60.0  # seconds without a byte before a server counts as gone
ATTEMPTS = 2  # a transfer that ends early is repeated once
CHUNK = 1 << 20


@dataclass(frozen=True)
class Release:
    """A published archive and the files in it that matter.

    Attributes:
        name: The data set's name, for messages.
        url: Address of the archive; its last part is the archive's file name.
        md5: Checksum of the archive.
        files: (path below `data_dir` after extraction, md5) of each file that is read; None where only the archive has
            a published checksum.
        folders: below `data_dir` after extraction, wanted with all that is in them: for archives of many files without
            checksums of their own. A file in `data_dir`, the stamp, tells that they were extracted to the end.
    """

    name: str
    url: str
    md5: str
    files: tuple[tuple[str, str | None], ...]
    folders: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def stamp(self) -> str:
        return f".{self.filename}.extracted"

    def wants(self, name: str) -> bool:
        """Whether a file of the archive is among those that matter."""
        return name in dict(self.files) or any(name.startswith(f"{folder}/") for folder in self.folders)


def fetch(release: Release, data_dir: Path, mirror: str | None = None) -> None:
    """Makes sure that the release lies extracted and intact in `data_dir`; only one process at a time works on it.

    Nothing is left of a download that failed.

    Raises:
        RunFailure: The archive can't be fetched from a server, or isn't the published one there.
        UserError: The same of a folder or file, or it can't be extracted, or `data_dir` can't be written.
    """
    if not broken_files(release, data_dir):
        return
    lock_file = data_dir / f".{release.filename}.lock"
    lock = FileLock(lock_file)
    made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for another process that prepares %s in %s", release.name, data_dir)
            lock.acquire()
    except OSError as error:
        raise _not_writable(data_dir, error) from error
    try:
        # Another process may have done the work while this one waited for the lock.
        broken = broken_files(release, data_dir)
        if broken:
            archive = _archive(release, data_dir, mirror, broken[0])
            _extract(release, archive, data_dir, broken)
    except BaseException:
        _part_of(data_dir / release.filename).unlink(missing_ok=True)
        lock_file.unlink(missing_ok=True)  # while it is held: another process that waits for it makes a new one
        with suppress(OSError):  # others' files are in it
            for folder in made:
                folder.rmdir()
        raise
    finally:
        lock.release()


def broken_files(release: Release, data_dir: Path) -> list[Path]:
    """The files of a release that are missing or don't have their checksum."""

    def is_broken(path: Path, md5: str | None) -> bool:
        return not path.is_file() if md5 is None else _md5(path) != md5

    broken = [data_dir / name for name, md5 in release.files if is_broken(data_dir / name, md5)]
    if release.folders:
        stamp = data_dir / release.stamp
        there = all((data_dir / folder).is_dir() for folder in release.folders)
        if not there or not stamp.is_file() or stamp.read_bytes() != release.md5.encode():
            broken.append(stamp)
    return broken


def archive_address(release: Release, mirror: str | None) -> str:
    """Where the archive comes from: the published URL, or the same file name below `mirror`."""
    if not mirror:
        return release.url
    base = mirror if "://" in mirror else Path(mirror).expanduser().absolute().as_uri()
    return f"{base.rstrip('/')}/{release.filename}"


def _archive(release: Release, data_dir: Path, mirror: str | None, broken: Path) -> Path:
    """The intact archive in `data_dir`, fetched if need be."""
    archive = data_dir / release.filename
    found = _md5(archive)
    if found == release.md5:
        return archive
    address = archive_address(release, mirror)
    if found is not None:
        state = f"{archive} is truncated or not the published file"
    elif broken.exists():
        state = f"{broken} is truncated or not the published file"
    else:
        state = f"{archive} is missing"
    remedy = f"put {release.filename} into {data_dir} by hand, or set machine.mirror=URL-or-folder"
    failure = RunFailure if address.startswith(("http://", "https://")) else UserError
    part = _part_of(archive)
    for _ in range(ATTEMPTS):
        try:
            size = _transfer(address, part, data_dir)
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: not an address at all
            raise failure(
                f"dataset {release.name}: {state} and {address} can't be fetched ({_one_line(error)}): {remedy}"
            ) from error
        if _md5(part) == release.md5:
            part.replace(archive)
            return archive
    raise failure(
        f"dataset {release.name}: {state} and {address} isn't the published file either ({size} bytes, md5 not "
        f"{release.md5}): {remedy}"
    )


def _part_of(archive: Path) -> Path:
    """Where the archive lies until it is whole."""
    return archive.with_name(f"{archive.name}.part")


def _transfer(address: str, target: Path, data_dir: Path) -> int:
    """Copies what lies at `address` to `target`; returns the number of bytes. Read errors are raised unchanged."""
    log.info("fetching %s", address)
    request = urllib.request.Request(address, headers={"User-Agent": "chimeramix"})
    size = 0
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        try:
            output = target.open("wb")
        except OSError as error:
            raise _not_writable(data_dir, error) from error
        with output:
            while chunk := response.read(CHUNK):
                try:
                    output.write(chunk)
                except OSError as error:
                    raise _not_writable(data_dir, error) from error
                size += len(chunk)
    log.info("fetched %s (%.0f MB)", target.name.removesuffix(".part"), size / 1e6)
    return size


def _extract(release: Release, archive: Path, data_dir: Path, broken: list[Path]) -> None:
    log.info("extracting %s", archive)
    try:
        for path in broken:  # so that a file without write permission is no obstacle
            path.unlink(missing_ok=True)
        (data_dir / release.stamp).unlink(missing_ok=True)
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                for member in tar:  # in one pass, because going back means decompressing again
                    name = member.name.removeprefix("./")
                    if release.wants(name) and (source := tar.extractfile(member)) is not None:
                        _copy(source, data_dir / name)
        else:
            with zipfile.ZipFile(archive) as zipped:
                for name in zipped.namelist():
                    if release.wants(name) and not name.endswith("/"):
                        _copy(zipped.open(name), data_dir / name)
        if release.folders:
            write_atomically(data_dir / release.stamp, lambda path: path.write_bytes(release.md5.encode()))
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(
            f"dataset {release.name}: {archive} can't be extracted ({_one_line(error)}): "
            f"check that {data_dir} is writable and has space left, or set machine.data_dir=DIR"
        ) from error
    broken = broken_files(release, data_dir)
    if broken:
        raise UserError(f"dataset {release.name}: {archive} doesn't hold the published {broken[0]}: remove it")


def _copy(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as output:
        shutil.copyfileobj(source, output, CHUNK)


def _md5(path: Path) -> str | None:
    """The checksum of a file, or None where there is none."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} can't be read ({_one_line(error)}): correct its permissions or remove it") from error
    return digest.hexdigest()


def _not_writable(data_dir: Path, error: OSError) -> UserError:
    return UserError(f"{data_dir} can't be written ({_one_line(error)}): set machine.data_dir=DIR to a writable folder")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""The folders below a directory, or below the folder of a store, and the images in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from features.address_images import AddressImages, files_at
from features.dataset_spec import DatasetSpec
from features.image_sources import FileImages
from features.infrastructure.console import say_once
from features.infrastructure.storage.addresses import Address, Location
from features.infrastructure.storage.listings import Listing

#: Endings of image files, in lower case. Files of kinds that Pillow does not read (the last two lines) are images too:
#: they are unreadable, and counted as such.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf",
    ".ico", ".icns", ".tga", ".pcx", ".dds", ".sgi", ".psd", ".qoi", ".xbm", ".xpm", ".ras", ".fits",
    ".heic", ".heif", ".hif", ".jxl", ".jxr", ".exr", ".hdr", ".svg", ".dcm",
    ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw",
)  # fmt: skip

#: Folders and files that operating systems leave behind. Names that begin with a dot are left out as well.
_LEFT_BEHIND = frozenset(
    {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found"}
)


def is_left_behind(path: str) -> bool:
    """Return whether a path leads through a folder or to a file that is hidden or left behind by a system.

    >>> [is_left_behind(path) for path in ("a/._1.jpg", "__MACOSX/a/1.jpg", "a/@eaDir/1.jpg", "./a/1.jpg")]
    [True, True, True, False]
    """
    parts = path.split("/")
    return any((part.startswith(".") and part not in (".", "..")) or part.lower() in _LEFT_BEHIND for part in parts)


def is_image_name(name: str) -> bool:
    """Return whether a file name has the ending of an image and is not one of :func:`is_left_behind`.

    >>> [is_image_name(name) for name in ("a.JPG", "._a.jpg", "a.txt")]
    [True, False, False]
    """
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_left_behind(name)


class Folders(Protocol):
    """Everything below a root; a folder is a POSIX path below it, empty for the root itself."""

    def where(self, folder: str) -> str:
        """Return the path or the address of a folder."""

    def subfolders(self, folder: str) -> list[str]:
        """Return the names of the folders in ``folder``, sorted, without those of :func:`is_left_behind`.

        Raises:
            InputError: It cannot be listed, or holds a broken link that may have been a folder.
        """

    def images_below(self, folder: str) -> list[str]:
        """Return the sorted POSIX paths, relative to the root, of the images anywhere below ``folder``.

        Images are recognised by their endings (:data:`IMAGE_SUFFIXES`, in any case). Symbolic links are followed, but
        not to a folder that they are in, and behind a link to each folder once. What :func:`is_left_behind` tells is
        skipped. A broken link with an image's ending is listed, so that reading it reports it.

        Raises:
            InputError: A folder cannot be listed, or a broken link may have been a folder.
        """

    def images_in(self, folder: str) -> list[str]:
        """Return the sorted names of the images that lie in ``folder`` itself.

        Raises:
            InputError: It cannot be listed.
        """

    def images(self, paths: Sequence[str]) -> FileImages | AddressImages:
        """Return the images at some of these paths."""


def folders_at(spec: DatasetSpec, root: Location) -> Folders:
    """Return the folders below a directory, or below an address, which is listed at once."""
    return _ListedFolders(Listing.of(root)) if isinstance(root, Address) else _DiskFolders(spec, str(root))


class _ListedFolders:
    """The folders of a store; one without a file is not there."""

    def __init__(self, listing: Listing) -> None:
        self.listing = listing

    def where(self, folder: str) -> str:
        return str(self.listing.folder / folder if folder else self.listing.folder)

    def subfolders(self, folder: str) -> list[str]:
        entries = self.listing.entries(folder)
        return sorted(name for name, is_folder in entries if is_folder and not is_left_behind(name))

    def images_below(self, folder: str) -> list[str]:
        start = len(folder) + 1 if folder else 0
        below = self.listing.below(folder)
        return [path for path in below if path.lower().endswith(IMAGE_SUFFIXES) and not is_left_behind(path[start:])]

    def images_in(self, folder: str) -> list[str]:
        return [name for name, is_folder in self.listing.entries(folder) if not is_folder and is_image_name(name)]

    def images(self, paths: Sequence[str]) -> FileImages | AddressImages:
        return files_at(self.listing.folder, paths, self.listing)


class _DiskFolders:
    """The folders of a directory."""

    def __init__(self, spec: DatasetSpec, root: str) -> None:
        self.spec, self.root = spec, root

    def where(self, folder: str) -> str:
        return os.path.join(self.root, folder) if folder else self.root

    def subfolders(self, folder: str) -> list[str]:
        found = []
        try:
            with os.scandir(self.where(folder)) as entries:
                for entry in entries:
                    if is_left_behind(entry.name):
                        continue
                    if _is_folder(entry):
                        if entry.is_symlink() and _leads_back(entry.path):
                            say_once(f"{entry.path} leads to a folder that it is in, and is left out")
                        else:
                            found.append(entry.name)
                    else:
                        _refuse_lost_folder(self.spec, entry)
        except OSError as error:
            raise self.spec.error(f"{self.where(folder)} cannot be listed: {error.strerror or error}") from error
        return sorted(found)

    def images_below(self, folder: str) -> list[str]:
        found: list[str] = []
        links = [link for link in self._below(folder, found) if not _leads_back(self.where(link))]
        walked = [os.path.realpath(self.where(place)) for place in (folder, *links)]
        nested = {link for place in links for link in self._below(place, found)}
        while nested:  # links behind links may lead to each other: each folder once
            link = min(nested)
            nested.remove(link)
            target = os.path.realpath(self.where(link))
            if any(_holds(place, target) or _holds(target, place) for place in walked):
                say_once(f"{self.where(link)} leads to a folder whose images are listed already, and is left out")
            else:
                walked.append(target)
                nested |= self._below(link, found)
        return sorted(found)

    def images_in(self, folder: str) -> list[str]:
        try:
            with os.scandir(self.where(folder)) as entries:
                return sorted(one.name for one in entries if is_image_name(one.name) and not _is_folder(one))
        except OSError as error:
            raise self.spec.error(f"{self.where(folder)} cannot be listed: {error.strerror or error}") from error

    def _below(self, folder: str, found: list[str]) -> set[str]:
        """Add the images below a folder to those that are found, and return the links to folders there."""
        links, pending = set(), [folder]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self.where(folder)) as entries:
                    for entry in entries:
                        if is_left_behind(entry.name):
                            continue
                        path = f"{folder}/{entry.name}" if folder else entry.name
                        # The name decides, without a stat: a folder or a broken link called x.jpg counts as an image,
                        # and reading it reports the fault.
                        if entry.name.lower().endswith(IMAGE_SUFFIXES):
                            found.append(path)
                        elif _is_folder(entry):
                            if entry.is_symlink():
                                links.add(path)
                            else:
                                pending.append(path)
                        else:
                            _refuse_lost_folder(self.spec, entry)
            except OSError as error:
                raise self.spec.error(
                    f"{error.filename or self.root} cannot be listed: {error.strerror or error}"
                ) from error
        return links

    def images(self, paths: Sequence[str]) -> FileImages | AddressImages:
        return FileImages(self.root, paths)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _leads_back(link: str) -> bool:
    """Whether a link leads to a folder that it is in."""
    return _holds(os.path.realpath(link), os.path.realpath(os.path.dirname(link)))


def _holds(folder: str, other: str) -> bool:
    """Whether another folder is the same one, or in it."""
    return folder == other or other.startswith(os.path.join(folder, ""))


def _refuse_lost_folder(spec: DatasetSpec, entry: os.DirEntry[str]) -> None:
    """Raise `InputError` for a broken link without an ending, which may have been a folder of images."""
    if entry.is_symlink() and not os.path.splitext(entry.name)[1] and not os.path.exists(entry.path):
        raise spec.error(f"{entry.path} is a broken link, perhaps to a folder of images; repair it or remove it")

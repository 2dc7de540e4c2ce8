"""Whether a packaged bundle is safe to unpack, who made it, and how it differs from one's own; nothing of it is run."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path

from transforms import DataError

from ..bundle import Bundle
from .archive import Contents, read_package, sha256_of
from .configuration import not_allowed
from .content import SOURCES, shown
from .differences import differences
from .package import common_files, files_of
from .signature import check_signature

logger = logging.getLogger(__name__)

MOST_NAMED = 10  # in one message


def verify(
    file: os.PathLike | str, allow: Collection[str] = (), key: os.PathLike | str | None = None
) -> dict[str, list[str]]:
    """Check a package, and show in the log what of it is not as in the bundle of its name here.

    The checksums lie in the package: they show damage, and not who made it. A signature does, or the SHA-256 of the
    whole file, which is logged, compared with what its maker says.

    Args:
        file: the package.
        allow: names and texts that its configuration may have beside those of ``TARGETS``, exactly as they stand.
        key: the public key that it must be signed with.

    Returns:
        what of it is not as a package of the bundle here would be, to the byte: lines by file, as
        :func:`~pipelines.sharing.differences.differences` gives them.

    Raises:
        DataError: if the signature is missing or wrong; as :func:`read_package`; or if its configuration names Python
            that is not allowed, or means to MONAI something else than it looks like.
    """
    if key is not None:
        check_signature(file, key)  # before anything else looks into the file
    package = read_package(file)
    check_configuration(str(file), package, allow)
    logger.info("%s: SHA-256 %s", file, sha256_of(file))
    if key is not None:
        logger.info("signature: made with the key that belongs to %s", key)
    else:
        logger.info("signature: not checked; give the maker's public key with --key")
    root = _bundle_here(package.bundle)
    found = differences(str(file), package, files_of(Bundle(root)) if root else common_files())
    compared = f"in {root}" if root else f"here, where there is no bundle {package.bundle}"
    for name, lines in found.items():
        if len(lines) == 1 and not lines[0].startswith(("+", "-")):
            logger.info("%s %s", shown(name), lines[0])
        else:
            logger.info("%s:\n%s", shown(name), "\n".join(f"  {line}" for line in lines))
    logger.info(
        "%s: %d files, %s; nothing was run",
        *(file, len(package.checksums), f"{len(found)} not as {compared}" if found else f"all as {compared}"),
    )
    return found


def check_configuration(file: str, package: Contents, allow: Collection[str] = ()) -> None:
    """Check that a package's configuration says what it seems to say, and names no Python beyond what is allowed.

    Raises:
        DataError: if not, with all the names.
    """
    refused = [
        (name, key, text)
        for name, data in package.settings.items()
        for key, text in not_allowed(f"{file}: {name}", name, data, allow)
    ]
    if refused:
        listed = "".join(f"\n  {name}: {shown(key)}: {shown(text)}" for name, key, text in refused[:MOST_NAMED])
        more = f"\n  and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
        raise DataError(
            f"{file}: names Python that no bundle of this project names:{listed}{more}\nDo not load it, unless you "
            "know that these do no harm: then give each with --allow NAME."
        )


def _bundle_here(name: str) -> Path | None:
    """The bundle of a name in the clone that this code lies in, else in the working folder."""
    for folder in (SOURCES / "bundles", Path("bundles")):
        try:
            return Bundle(folder / name).root
        except DataError:
            continue
    return None

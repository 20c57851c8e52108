"""An image on an engine of this machine, whose files are read where the engine keeps them.

What is not needed is not even looked at, so one layer of ten costs the time of one. The engine is
asked for the image (origin.py) where its files are not here, and when they turn out to be wrong.
"""

from backup.engine import canonical
from backup.engine.imagefiles import image_files
from backup.errors import DamagedImage
from backup.image.known import Known, unseen
from backup.image.layout import Contents, images
from backup.image.origin import Origin


def loose(origin: Origin) -> Known | None:
    """The same image by its files; None where they cannot be had."""
    kept = image_files(origin.engine, origin.facts)
    if kept is None:
        return None
    what = f"the image {origin.reference} as {origin.engine.name} keeps it"
    try:
        files = {name: unseen(name, one, DamagedImage) for name, one in kept.layers.items()}
        found = images(Contents(files=files, documents=kept.documents, links={}), what)
    except DamagedImage:
        return None
    for image in found:
        settings = canonical(image.settings.get("config"))
        if origin.facts.is_like(image.diff_ids, settings):
            return Known(
                reference=origin.reference,
                facts=origin.facts,
                image=image,
                layers=kept.layers,
                what=what,
                wrong=DamagedImage,
            )
    return None

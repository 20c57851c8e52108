"""Images: archives as `docker save` writes them, and their way to other engines.

    saved      what is in an archive: images, layers, tags (types only)
    reading    one pass over an archive as it streams by, every digest checked
    layout     from the documents of an archive to its images; pure
    writing    archives of our own: configuration, some layers, manifests

To read an archive:

    reading = Reading(blocks, "the image app:1")
    for file in reading.files():            in the order of the archive
        for piece in file.plain(): …        or file.raw(); what is not read is checked too
    for image in reading.images():          only now is it known which file is which layer
        image.tags, image.config, image.layers
"""

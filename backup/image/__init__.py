"""Images: archives as `docker save` writes them, and their way to other engines.

    saved        what is in an archive: images, layers, tags (types only)
    reading      one pass over an archive as it streams by, every digest checked
    layout       from the documents of an archive to its images; pure
    plan         what is missing, in which portions, manifests of our own; pure
    writing      archives of our own: configuration, some layers, manifests
    origin       an image on the engine that it comes from, which saves it
    loose        the same by its files, where they can be read
    stored       an image in the repository
    known        what both are: all is known from the beginning
    destination  what an engine has, and whether what it made is right
    passage      layers on their way, as they come or in portions
    transfer     `send` and `plan`: the decisions
    files        archives to and from files

To read an archive:

    reading = Reading(blocks, "the image app:1")
    for file in reading.files():            in the order of the archive
        for piece in file.plain(): …        or file.raw(); what is not read is checked too
    for image in reading.images():          only now is it known which file is which layer
        image.tags, image.config, image.layers

To send images: `for sent in send(source, target, ["app:1"], Options(), on_event): …`
"""

"""keras.applications: any of its networks as a backbone under a new head. Nothing of Keras is imported to read this.

Keras does not say what its networks take, so a table does, one row a network; `tests/models/test_keras_applications.py`
compares all of it with the version that is installed. The licences are those of the weights, as the documentation of
Keras and the repositories that they come from name them.

`strong_cut` follows one rule: among the places where a single tensor goes on and the map is still larger than the last
one, the last sum or concatenation, with the activation behind it. A network without sums and concatenations there is
cut after its last maximum pooling, and one without these after its last layer there that pads nothing. So the last
stage is trained; of NASNet, whose cells each take the two before, all but the stem.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from matlens.errors import ModelError
from matlens.models.preprocess import CaffeMeans, Preprocess, Scale, Standardise
from matlens.models.spec import KERAS_DRAFT, MLP, ModelSpec, WeightsFile
from matlens.system.registry import did_you_mean

_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
_URL_OF_EFFICIENTNET = "https://storage.googleapis.com/keras-applications"
_KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"

_UNIT = Scale(-1, 1)
_BYTES = Scale(0, 255)
"""Of networks that scale inside."""

_BY_BYTES = Standardise(deviation=(0.229 / 255, 0.224 / 255, 0.225 / 255))
"""EfficientNet's, which divides by 255 inside. Its own normalisation, which Keras completes only where it finds the
weights by itself, is left out of the backbone (`models/keras/networks/applications.py`)."""

_Row = tuple[str, str, int, str, str]
"""Name, strong_cut, side of the photos of the weights, file, and its hash in MD5 or SHA-256."""


def _family(preprocess: Preprocess, licence: str, *rows: _Row, smallest: int = 32, url: str = _URL) -> list[ModelSpec]:
    """Declare networks that differ in size. A file's name is the last part of its path, or what follows `?`."""
    return [_declared(name, preprocess, licence, cut, side, (_weights(url, file, digits),), smallest=smallest)
            for name, cut, side, file, digits in rows]


def _weights(url: str, file: str, digits: str) -> WeightsFile:
    path, _, name = file.partition("?")
    return WeightsFile(name or path.rpartition("/")[2], f"{url}/{path}", f"{_KINDS[len(digits)]}:{digits}")


_KINDS = {32: "md5", 64: "sha256"}


def _declared(name: str, preprocess: Preprocess, licence: str, cut: str, side: int, weights: tuple[WeightsFile, ...],
              *, smallest: int = 32, has_alpha: bool = False) -> ModelSpec:
    return ModelSpec(
        f"keras/{name}", name, "keras", backbone=name, preprocess=preprocess, weights=weights, licence=licence,
        published_side=side, options=MappingProxyType({"alpha": 1.0} if has_alpha else {}),
        limits=MappingProxyType({"alpha": (0, 2)} if has_alpha else {}), head=MLP(512, dropout=0.5), strong_cut=cut,
        smallest_side=smallest, draft_environment=KERAS_DRAFT if name.startswith(_DRAFTED) else MappingProxyType({}))


_DRAFTED = ("ResNet50", "ResNet101", "ResNet152", "MobileNetV2", "MobileNetV3", "ConvNeXt")
"""Beginnings of the names of networks that Keras' OpenVINO back end is known to convert; the others take TensorFlow."""


def _mobilenet() -> Iterator[WeightsFile]:
    for alpha, word in ((1.0, "1_0"), (0.75, "7_5"), (0.5, "5_0"), (0.25, "2_5")):
        for side, sides in (("{side}", (128, 160, 192, 224)), ("224", ())):
            name = f"mobilenet_{word}_{side}_tf_no_top.h5"
            yield WeightsFile(name, f"{_URL}/mobilenet/{name}", sides=sides, options=MappingProxyType({"alpha": alpha}))


def _mobilenetv2() -> Iterator[WeightsFile]:
    for side, sides in (("{side}", (96, 128, 160, 192, 224)), ("224", ())):
        name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{{alpha}}_{side}_no_top.h5"
        yield WeightsFile(name, f"{_URL}/mobilenet_v2/{name}", sides=sides)


def _mobilenetv3(size: str, **hashes: str) -> Iterator[WeightsFile]:
    for alpha, digits in ((1.0, hashes["whole"]), (0.75, hashes["narrow"])):
        name = f"weights_mobilenet_v3_{size}_224_{alpha}_float_no_top_v2.h5"
        yield WeightsFile(name, f"{_URL}/mobilenet_v3/{name}", f"md5:{digits}",
                          options=MappingProxyType({"alpha": alpha}))


_APPLICATIONS = {spec.title: spec for spec in (
    *_family(
        CaffeMeans(), "CC-BY-4.0",
        ("VGG16", "block4_pool", 224, f"vgg16/vgg16{_KERNELS}", "6d6bbae143d832006294945121d1f1fc"),
        ("VGG19", "block4_pool", 224, f"vgg19/vgg19{_KERNELS}", "253f8cb515780f3b799900260a226db6")),
    *_family(
        CaffeMeans(), "MIT",
        ("ResNet50", "conv4_block6_out", 224, f"resnet/resnet50{_KERNELS}", "4d473c1dd8becc155b73f8504c6f6626"),
        ("ResNet101", "conv4_block23_out", 224, f"resnet/resnet101{_KERNELS}", "88cf7a10940856eca736dc7b7e228a21"),
        ("ResNet152", "conv4_block36_out", 224, f"resnet/resnet152{_KERNELS}", "ee4c566cf9a93f14d82f913c2dc6dd0c")),
    *_family(
        _UNIT, "BSD-3-Clause",
        ("ResNet50V2", "conv4_block5_out", 224, f"resnet/resnet50v2{_KERNELS}", "fac2f116257151a9d068a22e544a4917"),
        ("ResNet101V2", "conv4_block22_out", 224, f"resnet/resnet101v2{_KERNELS}", "c0ed64b8031c3730f411d2eb4eea35b5"),
        ("ResNet152V2", "conv4_block35_out", 224, f"resnet/resnet152v2{_KERNELS}", "ed17cf2e0169df9d443503ef94b23b33")),
    *_family(
        _UNIT, "Apache-2.0",
        ("InceptionV3", "mixed7", 299, f"inception_v3/inception_v3{_KERNELS}", "bcbd6486424b2319ff4ef7d526e38f63"),
        ("InceptionResNetV2", "block17_20_ac", 299, f"inception_resnet_v2/inception_resnet_v2{_KERNELS}",
         "d19885ff4a710c122648d3b5c3b684e4"), smallest=75),
    *_family(
        _UNIT, "MIT",
        ("Xception", "add_10", 299, f"xception/xception{_KERNELS}", "b0042744bf5b25fce3cb969f33bebb97"), smallest=71),
    _declared("MobileNet", _UNIT, "Apache-2.0", "conv_pw_11_relu", 224, tuple(_mobilenet()), has_alpha=True),
    _declared("MobileNetV2", _UNIT, "Apache-2.0", "block_12_add", 224, tuple(_mobilenetv2()), has_alpha=True),
    _declared("MobileNetV3Small", _BYTES, "Apache-2.0", "expanded_conv_7_add", 224, tuple(_mobilenetv3(
        "small", whole="d3e8ec802a04aa4fc771ee12a9a9b836", narrow="ebdb5cc8e0b497cd13a7c275d475c819")), has_alpha=True),
    _declared("MobileNetV3Large", _BYTES, "Apache-2.0", "expanded_conv_11_add", 224, tuple(_mobilenetv3(
        "large", whole="07fb09a5933dd0c8eaafa16978110389", narrow="40af19a13ebea4e2ee0c676887f69a2e")), has_alpha=True),
    *_family(
        Standardise(), "BSD-3-Clause",
        ("DenseNet121", "conv4_block24_concat", 224, f"densenet/densenet121{_KERNELS}",
         "30ee3e1110167f948a6b9946edeeb738"),
        ("DenseNet169", "conv4_block32_concat", 224, f"densenet/densenet169{_KERNELS}",
         "b8c4d4c20dd625c148057b9ff1c1176b"),
        ("DenseNet201", "conv4_block48_concat", 224, f"densenet/densenet201{_KERNELS}",
         "c13680b51ded0fb44dff2d8f86ac8bb1")),
    *_family(
        _UNIT, "Apache-2.0",
        ("NASNetMobile", "stem_bn1", 224, "nasnet/NASNet-mobile-no-top.h5?nasnet_mobile_no_top.h5",
         "1ed92395b5b598bdda52abe5c0dbfd63"),
        ("NASNetLarge", "stem_bn1", 331, "nasnet/NASNet-large-no-top.h5?nasnet_large_no_top.h5",
         "d81d89dc07e6e56530c4e77faddd61b5")),
    *_family(
        _BY_BYTES, "Apache-2.0",
        ("EfficientNetB0", "block5c_add", 224, "efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d"),
        ("EfficientNetB1", "block5d_add", 240, "efficientnetb1_notop.h5", "74c4e6b3e1f6a1eea24c589628592432"),
        ("EfficientNetB2", "block5d_add", 260, "efficientnetb2_notop.h5", "111f8e2ac8aa800a7a99e3239f7bfb39"),
        ("EfficientNetB3", "block5e_add", 300, "efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226"),
        ("EfficientNetB4", "block5f_add", 380, "efficientnetb4_notop.h5", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
        ("EfficientNetB5", "block5g_add", 456, "efficientnetb5_notop.h5", "38879255a25d3c92d5e44e04ae6cec6f"),
        ("EfficientNetB6", "block5h_add", 528, "efficientnetb6_notop.h5", "9ecce42647a20130c1f39a5d4cb75743"),
        ("EfficientNetB7", "block5j_add", 600, "efficientnetb7_notop.h5", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
        url=_URL_OF_EFFICIENTNET),
    *_family(
        _BYTES, "Apache-2.0",
        ("EfficientNetV2B0", "block5e_add", 224, "efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"),
        ("EfficientNetV2B1", "block5f_add", 240, "efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37"),
        ("EfficientNetV2B2", "block5f_add", 260, "efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb"),
        ("EfficientNetV2B3", "block5g_add", 300, "efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856"),
        ("EfficientNetV2S", "block5i_add", 384, "efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070"),
        ("EfficientNetV2M", "block5n_add", 480, "efficientnetv2-m_notop.h5", "1b8dc055df72dde80d614482840fe342"),
        ("EfficientNetV2L", "block5s_add", 480, "efficientnetv2-l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615"),
        url=f"{_URL}/efficientnet_v2"),
    *_family(
        _BYTES, "MIT",
        ("ConvNeXtTiny", "add_14", 224, "convnext_tiny_notop.h5",
         "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
        ("ConvNeXtSmall", "add_32", 224, "convnext_small_notop.h5",
         "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
        ("ConvNeXtBase", "add_32", 224, "convnext_base_notop.h5",
         "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
        ("ConvNeXtLarge", "add_32", 224, "convnext_large_notop.h5",
         "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
        ("ConvNeXtXLarge", "add_32", 224, "convnext_xlarge_notop.h5",
         "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
        url=f"{_URL}/convnext"))}


def applications() -> tuple[str, ...]:
    """Return the names of the networks."""
    return tuple(_APPLICATIONS)


def application(name: str) -> ModelSpec:
    """Return the declaration of a network of keras.applications. Raises ModelError, which names near ones."""
    if name not in _APPLICATIONS:
        raise ModelError(f"keras.applications has no network '{name}'.{did_you_mean(name, _APPLICATIONS, 'keras/')} "
                         "List them with: matlens models 'keras/*'")
    return _APPLICATIONS[name]

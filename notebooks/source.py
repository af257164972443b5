# The text of both notebooks. `make notebooks` writes classification_kaggle.ipynb and classification.ipynb from it.
# A cell begins with "# %%"; "[kaggle]" or "[local]" behind it keeps it for one of the two, "[markdown]" makes it text.

# %% [markdown] [kaggle]
# # What are things made of? Four networks on MINC-2500
#
# VGG19 from scratch, ResNet50 and MobileNetV2 by transfer (Keras), GoogLeNet (PyTorch): from raw folders to metrics, plots,
# heat maps and one comparison. Run the cells from top to bottom.
#
# - **GPU**: *Settings → Accelerator → GPU*. It runs without one too, slowly.
# - **Data**: add MINC-2500 (*Add Input*); it is found by its layout, wherever Kaggle mounts it. Any dataset of class folders
#   works as well. Without one, drawn materials are used.
# - **Internet off**: attach a dataset with the wheels (`make wheels` in the project writes them to `dist/`), and if you want
#   ImageNet weights one with those; networks that find none begin from random weights, with a warning.

# %% [markdown] [local]
# # What are things made of? Four networks on photographs of materials
#
# VGG19 from scratch, ResNet50 and MobileNetV2 by transfer (Keras), GoogLeNet (PyTorch): from raw folders to metrics, plots,
# heat maps and one comparison. Run the cells from top to bottom.
#
# Needs `make install` in the project's folder (or `pip install '.[all]'` in an environment of your own), and no GPU.

# %% [markdown]
# ## 1. Imports and environment

# %% [kaggle]
import importlib.util
import subprocess
import sys
from pathlib import Path

if importlib.util.find_spec("matlens") is None:
    wheels = sorted(Path("/kaggle/input").rglob("matlens-*.whl"))
    projects = [p.parent for p in Path("/kaggle/input").rglob("pyproject.toml") if 'name = "matlens"' in p.read_text()]
    if wheels:  # works offline: what matlens needs lies beside its wheel
        wanted = ["--no-index", "--find-links", str(wheels[-1].parent), "matlens"]
    else:
        wanted = [str(projects[0])] if projects else ["matlens"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)

# %%
# %matplotlib inline

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

import matlens

print("matlens", matlens.__version__)

# %% [markdown]
# Importing `matlens` loads no framework. TensorFlow is imported when the first Keras function is called, with memory growth
# on; PyTorch then gets a process of its own, so the two neither crash each other nor fight for a GPU's memory.

# %% [markdown]
# ## 2. Dataset and paths

# %%
from matlens import DATASET_NAME, IS_KAGGLE, KAGGLE_INPUT, MODELS_DIR, OUTPUT_DIR, REPORTS_DIR

print("on Kaggle:", IS_KAGGLE, "| dataset:", DATASET_NAME, "| expected at:", KAGGLE_INPUT)
print("split:", OUTPUT_DIR, "| models:", MODELS_DIR, "| reports:", REPORTS_DIR)

# %% [local]
MY_DATA = None  # a folder of class folders, of train/ val/ test/, or MINC-2500; None: look for one

# %% [kaggle]
MY_DATA = None  # a folder below /kaggle/input; None: look for one

# %%
from matlens import draw_dataset, find_dataset

DATA_DIR = find_dataset(MY_DATA)
if DATA_DIR is None:
    DATA_DIR = OUTPUT_DIR.with_name("drawn-materials")
    print("No dataset found: drawing materials instead.")
    if not DATA_DIR.exists():
        draw_dataset(DATA_DIR, photos_per_class=40, size=96, as_samples=True)
print("photos:", DATA_DIR)

# %% [markdown]
# ## 3. Hyperparameters
#
# To change one for the whole notebook, assign it here. All random choices follow from `SEED`: two runs give the same
# results on a CPU.

# %%
from matlens import BATCH_SIZE, IMG_SIZE, MAX_EPOCHS, SEED

INPUT_SHAPE = (*IMG_SIZE, 3)
print(IMG_SIZE, BATCH_SIZE, SEED, MAX_EPOCHS)

# %% [markdown]
# ## 4. Data integrity
#
# Every photo is decoded in full when the split is made; what cannot be read is left out and named, so an empty file never
# stops a training. `remove_corrupted_images(folder)` deletes such files, or moves them with `quarantine=...`.

# %%
from matlens import is_image_valid, remove_corrupted_images

some_photo = next(path for path in DATA_DIR.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
print(some_photo.name, "is a whole photo:", is_image_valid(some_photo))

# %% [markdown]
# ## 5. Class distribution

# %%
from matlens import photo_counts

for part, counts in photo_counts(DATA_DIR).items():
    print(part, sum(counts.values()), counts)

# %% [markdown]
# ## 6. Train / val / test split
#
# Stratified and seeded; every class is in every part, or the split is refused. A finished split of the same photos is kept;
# another one is replaced with `force=True` only.

# %%
from matlens import class_counts, create_split, needs_split

if needs_split(DATA_DIR):
    display(create_split(DATA_DIR, OUTPUT_DIR, train_ratio=0.7, val_ratio=0.15, test_ratio=0.15, seed=SEED))
    PREPARED_DIR = OUTPUT_DIR
    print("removed from the split:", remove_corrupted_images(PREPARED_DIR))
else:
    PREPARED_DIR = DATA_DIR
for part in ("train", "val", "test"):
    if (PREPARED_DIR / part).exists():
        print(part, class_counts(PREPARED_DIR / part))

# %%
counts = class_counts(PREPARED_DIR / "train")
figure, axes = plt.subplots(figsize=(8, 0.3 * len(counts) + 1), layout="constrained")
axes.barh(list(counts), list(counts.values()), color="#0173b2")
axes.invert_yaxis()
axes.set(title="Training photos by class", xlabel="photos")
plt.show()

# %% [markdown]
# ## 7. Input pipeline
#
# Photos are decoded once into a memory-mapped store; batches are [0, 1] with one-hot labels.

# %%
from matlens import build_datasets

train_ds, val_ds, test_ds = build_datasets(PREPARED_DIR, IMG_SIZE, BATCH_SIZE, SEED)
images, labels = next(iter(train_ds))
print(images.shape, labels.shape, float(np.min(images)), float(np.max(images)))

# %%
figure, every = plt.subplots(2, 6, figsize=(11, 4.2), layout="constrained")
for axes, image, label in zip(every.flat, images, labels):
    axes.imshow(image)
    axes.set_title(train_ds.class_names[int(np.argmax(label))], fontsize=9)
for axes in every.flat:
    axes.axis("off")
plt.show()

# %% [markdown]
# ## 8. Augmentation
#
# `get_augmentation_layer()` is the guide's Keras layer; `build_datasets(augmented=True)` does the same to the training part,
# faster and for PyTorch too.

# %%
from matlens import get_augmentation_layer

varied = get_augmentation_layer()(images[:6], training=True)
figure, every = plt.subplots(1, 6, figsize=(11, 2.2), layout="constrained")
for axes, image in zip(every, varied):
    axes.imshow(np.clip(image, 0, 1))
for axes in every:
    axes.axis("off")
plt.show()

# %%
train_ds_aug, _, _ = build_datasets(PREPARED_DIR, IMG_SIZE, BATCH_SIZE, SEED, augmented=True)

# %% [markdown]
# ## 9. Class names

# %%
from matlens import CLASS_NAMES, NUM_CLASSES

print(NUM_CLASSES, CLASS_NAMES)

# %% [markdown]
# ## Models
#
# Each takes photos in [0, 1]; the preprocessing that its pretrained weights expect is inside of it. With `weights="auto"` a
# network that finds no ImageNet weights begins from random ones, with a warning.

# %% [markdown]
# ### A. VGG19 from scratch

# %%
from matlens import build_vgg19_scratch

vgg19 = build_vgg19_scratch(INPUT_SHAPE, NUM_CLASSES)
print(f"{vgg19.count_params():,} parameters")

# %% [markdown]
# ### B. ResNet50 by transfer

# %%
from matlens import build_resnet50_transfer

resnet50, resnet50_base = build_resnet50_transfer(INPUT_SHAPE, NUM_CLASSES, weights="auto")
print(f"{resnet50.count_params():,} parameters")

# %% [markdown]
# ### C. MobileNetV2 by transfer

# %%
from matlens import build_mobilenetv2_transfer

mobilenetv2, mobilenetv2_base = build_mobilenetv2_transfer(INPUT_SHAPE, NUM_CLASSES, weights="auto", alpha=1.0)
print(f"{mobilenetv2.count_params():,} parameters")

# %% [markdown]
# ### D. Inception V1 / GoogLeNet (PyTorch)

# %%
from matlens import InceptionV1Wrapper

inception_v1 = InceptionV1Wrapper(NUM_CLASSES, pretrained="auto")
print(f"{inception_v1.get_trainable_params_count():,} trainable parameters on {inception_v1.device}")

# %% [markdown]
# ## Training
#
# The best weights by validation loss are saved to `MODELS_DIR` and restored at the end.

# %%
from matlens import plot_training_curves, train_model

REPORTS_DIR.mkdir(parents=True, exist_ok=True)

# %%
vgg19_history = train_model(vgg19, train_ds_aug, val_ds, "vgg19_scratch", epochs=MAX_EPOCHS)
plot_training_curves(vgg19_history, "VGG19 from scratch", save_path=REPORTS_DIR / "vgg19_scratch_training_curves.png")

# %%
resnet50_history = train_model(resnet50, train_ds_aug, val_ds, "resnet50_transfer", epochs=MAX_EPOCHS)
plot_training_curves(resnet50_history, "ResNet50", save_path=REPORTS_DIR / "resnet50_transfer_training_curves.png")

# %% [markdown]
# Fine-tuning: the last 40 layers of the backbone, at a lower learning rate. With pretrained weights it gains most.

# %%
from matlens import unfreeze_resnet_for_finetuning

if resnet50.pretrained:
    unfreeze_resnet_for_finetuning(resnet50, resnet50_base, num_layers_to_unfreeze=40)
    train_model(resnet50, train_ds_aug, val_ds, "resnet50_transfer", epochs=MAX_EPOCHS + 2, initial_epoch=MAX_EPOCHS,
                history=resnet50_history)

# %%
mobilenetv2_history = train_model(mobilenetv2, train_ds_aug, val_ds, "mobilenetv2_transfer", epochs=MAX_EPOCHS)
plot_training_curves(mobilenetv2_history, "MobileNetV2",
                     save_path=REPORTS_DIR / "mobilenetv2_transfer_training_curves.png")

# %%
inception_v1_history = train_model(inception_v1, train_ds_aug, val_ds, "inception_v1", epochs=MAX_EPOCHS)
plot_training_curves(inception_v1_history, "GoogLeNet", save_path=REPORTS_DIR / "inception_v1_training_curves.png")

# %% [markdown]
# ## Evaluation

# %%
from matlens import compute_confusion_matrix, compute_roc_curves, evaluate_model, get_predictions_and_labels
from matlens import plot_confusion_matrix, plot_roc_curves

results = []


def judge(model, name, title, history):
    """Metrics into REPORTS_DIR, and the pictures of one model."""
    result = evaluate_model(model, test_ds, name, CLASS_NAMES, history=history, val_ds=val_ds)
    predictions, labels = get_predictions_and_labels(model, test_ds, CLASS_NAMES)
    matrix = compute_confusion_matrix(labels, predictions, CLASS_NAMES)
    curves = compute_roc_curves(labels, predictions, CLASS_NAMES)
    display(plot_confusion_matrix(matrix, CLASS_NAMES, title, save_path=REPORTS_DIR / f"{name}_confusion_matrix.png"))
    display(plot_roc_curves(curves, title, save_path=REPORTS_DIR / f"{name}_roc_curves.png"))
    print(result["classification_report"])
    results.append(result)


# %%
judge(vgg19, "vgg19_scratch", "VGG19 from scratch", vgg19_history)

# %%
judge(resnet50, "resnet50_transfer", "ResNet50", resnet50_history)

# %%
judge(mobilenetv2, "mobilenetv2_transfer", "MobileNetV2", mobilenetv2_history)

# %%
judge(inception_v1, "inception_v1", "GoogLeNet", inception_v1_history)

# %% [markdown]
# ## Explanation: Grad-CAM
#
# Where in a photo the answer comes from. The heat map has as many places as the network's last feature map.

# %%
from matlens import get_last_conv_layer_name, visualize_gradcam_samples

MODELS = {"vgg19_scratch": vgg19, "resnet50_transfer": resnet50, "mobilenetv2_transfer": mobilenetv2,
          "inception_v1": inception_v1}
for name, model in MODELS.items():
    print(name, get_last_conv_layer_name(model))
    display(visualize_gradcam_samples(model, test_ds, CLASS_NAMES, num_samples=8, model_name=name,
                                      save_path=REPORTS_DIR / f"{name}_gradcam.png"))

# %%
from matlens import make_gradcam_heatmap, overlay_heatmap

photo = next(iter(test_ds))[0][0]
heatmap = make_gradcam_heatmap(photo, mobilenetv2, get_last_conv_layer_name(mobilenetv2))
plt.imshow(overlay_heatmap(heatmap, photo))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Comparison

# %%
from matlens import compare_models

compare_models(results, REPORTS_DIR)

# %% [markdown]
# ## What was saved

# %%
for folder in (MODELS_DIR, REPORTS_DIR):
    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size / 1e6:8.1f} MB  {file}")

# %% [markdown]
# ## The same in four lines
#
# `matlens.run` does all of the above: it divides, trains, judges, explains, compares and writes a report. It computes the
# features of a pretrained network once, and trains the head on them in seconds.

# %%
run = matlens.run(DATA_DIR, models="mobilenetv2_transfer", weights="auto" if mobilenetv2.pretrained else "none",
                  img_size=IMG_SIZE, max_epochs=MAX_EPOCHS, out=REPORTS_DIR.with_name("run"))
run

# %% [markdown]
# What does a photo show, and where does the answer come from? Any photo of yours will do.

# %%
matlens.predict(run, some_photo)

# %%
matlens.explain(run, some_photo)

# %%
matlens.report(run)

"""MNIST on one screen: a net, its training, its accuracy, a prediction. Less than a minute on two idle cores."""

import mnist_cnn as mc

# 3x3 convolutions without padding, each followed by ReLU; gmp is the maximum over the image.
net = [
    {"conv": 16}, "pool", "batch_norm",
    {"conv": 32}, "pool", "batch_norm",
    {"conv": 64}, "batch_norm",
    "gmp", {"dense": 10},
]  # fmt: skip

result = mc.fit(
    "model=sequential",
    "optimizer.lr=0.01",
    "scheduler=one_cycle",
    "trainer.max_epochs=2",
    **{"model.layers": net},
)
print(f"{result.figures['test/acc']:.2%} of the test images are read right.")

images, labels = result.trainer.datamodule.splits["test"][:3]
for image, label, guess in zip(images, labels, result.model.predict(images), strict=True):
    for row in image[0, ::2]:
        print("".join(" .+#"[pixel // 64] for pixel in row))
    print(f"The net reads {guess}, the label says {label}.")

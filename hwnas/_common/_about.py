"""One line for each space, task, evaluator and strategy of ours, for help and `hwnas plugins`. Imports nothing."""

from __future__ import annotations

SPACES = {
    "convnet1d": "signals: inverted residual blocks over time; elastic depth, width, kernels, dilation, strides",
    "dash1d": "signals: a residual network whose convolutions choose kernel (3-19) and dilation (1-15), after DASH",
    "dash2d": "images: a wide residual network whose convolutions choose kernel (3-9) and dilation (1-15), after DASH",
    "declared": "your own space, declared in a JSON file: --space FILE.json",
    "derived": "what can be left out of a trained model: channels, blocks, kernel taps, pixels (with --model)",
    "dscnn": "spectrograms, or signals through a log-mel front end: depthwise-separable blocks after DS-CNN",
    "fpn": "detectors: elastic backbone, feature pyramid and head after NAS-FCOS",
    "mobilenetv3": "inverted residual blocks; elastic depth, kernels, expansions, width and resolution",
    "nasbench201": "cells of NAS-Bench-201: four nodes, five operations, stacked three times",
    "resnet": "residual networks for images of 8-64 pixels; elastic depth and width, each stage dense or inverted",
    "unet": "encoders and decoders with skip connections for dense outputs, of signals and images",
    "video": "inverted residuals for clips that choose among 2-D, temporal and 3-D convolutions and a shift",
}
TASKS = {
    "dense": "segmentation or regression of every pixel or sample, judged by mean IoU or relative L2",
    "detection": "boxes of objects in images, judged by average precision",
    "image": "image classification, judged by accuracy (if the data suit no other task)",
    "signal": "sound, motion and other signals: classes by accuracy, values by their error (default for WAV and CSV)",
    "video": "classification of short clips, judged by accuracy",
}
EVALUATORS = {
    "supernet": "trains one network with shared weights, cuts each candidate out of it (default)",
    "train": "trains each candidate alone; --halving stops weak ones early",
    "table:FILE": "looks accuracies up in a published CSV file",
    "synflow": "training-free score, no accuracy (needs --finalize train): products of weights along paths",
    "naswot": "training-free score, no accuracy (needs --finalize train): how ReLU patterns differ between images",
    "gradnorm": "training-free score, no accuracy (needs --finalize train): gradient norm on one batch",
    "parameters": "training-free score, no accuracy (needs --finalize train): number of parameters",
}
STRATEGIES = {
    "lamoo": "learns regions that hold good trade-offs, and proposes by hypervolume inside and around them (default)",
    "qehvi": "expected hypervolume improvement over the whole space, with exact costs",
    "parego": "expected improvement of randomly weighted distances over the whole space, with exact costs",
    "mobopt": "local policies that learn on a model where to go from the front, with exact costs",
    "mutation": "changes one choice of a random network of the front at a time",
    "random": "random networks without repetition: the baseline for every other strategy",
    "cmaes": "a categorical evolution strategy over the whole space",
    "nsga2": "genetic search, survival by rank and crowding (needs hwnas[compare])",
    "nsga3": "genetic search, survival by rank and reference directions (needs hwnas[compare])",
    "moead": "genetic search on many weighted combinations at once (needs hwnas[compare])",
    "tpe": "Optuna's tree-structured Parzen estimator (needs hwnas[compare])",
    "optuna-nsga2": "Optuna's NSGA-II (needs hwnas[compare])",
    "qlognehvi": "BoTorch's noisy expected hypervolume improvement, costs learned",
    "smem": "two populations evolve on a surrogate that learns from comparisons in pairs, after SMEM-NAS",
    "controller": "a recurrent policy that PPO trains on the rewards of finished trials, after NAS-FCOS",
}
ONE_SHOT = {
    "drnas": "one-shot: a Dirichlet distribution learned by gradients, choices pruned in stages, after DrNAS",
    "ddpnas": "one-shot: validation metrics of drawn networks, the worst choices pruned in turn, after DDPNAS",
    "dmasking": "one-shot: Gumbel softmax of choices, widths as masks, cost in the loss, after FBNetV2",
    "dash": "one-shot: kernel sizes and dilations learned in the steps of the weights, after DASH",
    "pvnas": "one-shot: cycles of gradient search, networks from each of them, after PV-NAS",
}
"""Strategies that learn a distribution over choices while they train the supernet."""
ABOUT = {"space": SPACES, "task": TASKS, "strategy": {**STRATEGIES, **ONE_SHOT}, "evaluator": EVALUATORS}


def about_lines(kind: str) -> list[str]:
    """Return the names of a kind (``space``, ``task``, ``strategy``, ``evaluator``), each with its line."""
    return [f"  {name:16s} {text}" for name, text in ABOUT[kind].items()]

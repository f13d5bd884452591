"""How does a torch module take part: parameters in and out, and a ready training loop?

Only apps that use torch import this module. What federates are the floating tensors of the state_dict, as float32.
Integer buffers (BatchNorm's `num_batches_tracked`) stay in the silo: averaging counts would mean nothing. `train` keeps
them in `context.state`, so they survive from round to round.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from septum.errors import AppError, did_you_mean
from septum.sdk.data import Context, Data, Float32, Parameters
from septum.sdk.optim import Steps, batches

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(outputs (batch,), labels (batch,)) -> mean loss, such as torch.nn.functional.binary_cross_entropy_with_logits."""

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""A torch optimiser class, such as torch.optim.Adam; called with the tensors, lr= and weight_decay=."""

_STATE = "torch."


def parameters(module: nn.Module) -> dict[str, Float32]:
    """The module's floating tensors by their state_dict names, copied.

    >>> sorted(parameters(nn.Linear(13, 1)))
    ['bias', 'weight']
    """
    return {
        name: tensor.detach().to("cpu", torch.float32).numpy().copy()
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


def load(module: nn.Module, parameters: Parameters) -> None:
    """Copy parameters into the module. Every floating tensor must be there, in its shape, and no other."""
    own = {name: tensor for name, tensor in module.state_dict().items() if tensor.is_floating_point()}
    for name in parameters:
        if name not in own:
            raise AppError(f"the torch module has no tensor {name!r}; {did_you_mean(name, own)}")
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in parameters or parameters[name].shape != tuple(tensor.shape):
                found = f"shape {parameters[name].shape}" if name in parameters else "nothing"
                raise AppError(f"the torch module needs {name!r} of shape {tuple(tensor.shape)}, got {found}")
            tensor.copy_(torch.from_numpy(parameters[name].copy()))


def train(
    module: nn.Module, loss: Loss, data: Data, context: Context, steps: Steps, optimizer: OptimizerFactory
) -> dict[str, Float32]:
    """Train a loaded module for one round on one CPU thread, in the same batches as `optim`; returns its parameters.

    The FedProx term is added to the gradients. torch's own generator (dropout) is seeded from `context.rng`.
    """
    torch.set_num_threads(1)  # more threads sum in another order: two runs would differ
    torch.manual_seed(_seed(context.rng))
    _restore(module, context)
    module.train()
    trainable = {name: tensor for name, tensor in module.named_parameters() if tensor.requires_grad}
    anchored = [name for name in trainable if name in context.base] if context.proximal_mu else []
    anchors = {name: torch.from_numpy(context.base[name].copy()) for name in anchored}  # private ones have none
    stepper = optimizer(list(trainable.values()), lr=steps.lr, weight_decay=steps.weight_decay)
    x, y = torch.from_numpy(data.x.copy()), torch.from_numpy(data.y.copy())
    for rows in batches(len(data), steps, context.rng):
        chosen = torch.from_numpy(rows)
        stepper.zero_grad()
        outputs = module(x[chosen])
        torch.autograd.backward(loss(outputs.reshape(len(rows)), y[chosen]))
        for name, anchor in anchors.items():
            gradient = trainable[name].grad
            if gradient is not None:
                gradient.add_(trainable[name].detach() - anchor, alpha=context.proximal_mu)
        stepper.step()
    _keep(module, context)
    return parameters(module)


def _seed(rng: np.random.Generator) -> int:
    """A seed off the generator's own stream, so that the batches are those of the numpy loop."""
    if not isinstance(rng.bit_generator, np.random.Philox):
        raise AppError(f"septum.sdk.torch: context.rng is a {type(rng.bit_generator).__name__}, Philox is needed")
    return int(np.random.Generator(rng.bit_generator.jumped()).integers(2**63))


def _restore(module: nn.Module, context: Context) -> None:
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point() and _STATE + name in context.state:
                tensor.copy_(torch.from_numpy(context.state[_STATE + name]))


def _keep(module: nn.Module, context: Context) -> None:
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            context.state[_STATE + name] = tensor.cpu().numpy().copy()

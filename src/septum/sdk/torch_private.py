"""How does an app with a torch module train with differential privacy by itself? With Opacus, as it is asked to.

For runs of strength "attested": the silo believes what is said here because its steward read the app. A network that
can be listed layer by layer is better declared in `septum.toml`: septum trains it itself, which is "enforced", and
with exact noise from the system's random bytes. Here noise and draws are floating-point numbers of torch's generator,
seeded by the system.

Opacus (Apache-2.0, the extra `opacus`) computes each row's gradient by hooks, which it has for the usual layers.
"""

from __future__ import annotations

import torch
from torch import nn

from septum.errors import AppError, MissingExtraError
from septum.sdk.data import Context, Data, Float32
from septum.sdk.torch import Loss, OptimizerFactory, parameters


def train_privately(
    module: nn.Module, loss: Loss, data: Data, context: Context, optimizer: OptimizerFactory = torch.optim.SGD
) -> dict[str, Float32]:
    """Train a loaded module for one round with DP-SGD, and attest it; returns its parameters.

    `loss` is a mean over rows. Raises AppError in a run without `context.privacy`, MissingExtraError without Opacus,
    and Opacus's own errors for layers that it cannot do, such as batch norm.
    """
    asked = context.privacy
    if asked is None:
        raise AppError(
            "train_privately is for runs with differential privacy of strength attested",
            hint="septum.sdk.torch.train, where context.privacy is None",
        )
    try:
        from opacus import GradSampleModule  # an optional extra
        from opacus.optimizers import DPOptimizer
        from opacus.utils.uniform_sampler import UniformWithReplacementSampler
    except ImportError as error:
        raise MissingExtraError(
            "this app trains with Opacus, which is not installed here", hint="pip install 'septum[opacus]'"
        ) from error
    torch.set_num_threads(1)
    chance = torch.Generator()
    chance.seed()  # by the system: whoever knew the seed could take the noise off
    module.train()
    network = GradSampleModule(module, loss_reduction="mean")
    tensors = [tensor for tensor in module.parameters() if tensor.requires_grad]
    stepper = DPOptimizer(
        optimizer(tensors, lr=asked.learning_rate),
        noise_multiplier=asked.noise_multiplier,
        max_grad_norm=asked.clip,
        expected_batch_size=asked.expected_batch,
        generator=chance,
    )
    done: list[None] = []
    stepper.attach_step_hook(lambda _: done.append(None))
    x, y = torch.tensor(data.x), torch.tensor(data.y)
    drawn = UniformWithReplacementSampler(
        num_samples=len(data), sample_rate=asked.sampling_rate, generator=chance, steps=asked.steps
    )
    for rows in drawn:  # perhaps none: a step like any other
        stepper.zero_grad()
        outputs = network(x[rows].requires_grad_())  # or torch warns of Opacus's hooks
        torch.autograd.backward(loss(outputs.reshape(len(rows)), y[rows]))
        stepper.step()
    asked.attest(
        noise_multiplier=stepper.noise_multiplier,
        sampling_rate=drawn.sample_rate,
        steps=len(done),
        clip=stepper.max_grad_norm,
    )
    return parameters(module)

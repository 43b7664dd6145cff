"""Train the embedding of the table before the rest, on the table alone."""

from dataclasses import replace

from skhyperfusion._engine._device import hold_where_it_fits
from skhyperfusion._engine._train import train

# Least learning rate of the pre-training. Its few hundred weights are not the image network's: at the
# paper's 1e-4 they are worse than the class frequencies after 10 epochs; at this rate they have converged.
PRETRAIN_LR = 1e-2


def pretrain_embedding(module, dataset, rows, settings, *, n_epochs, n_outputs):
    """Train a network's embedding under a linear head, which is thrown away.

    Parameters
    ----------
    module : FusionNetwork
        Its embedding is trained in place.
    dataset : FusionDataset
        All rows of the fit.
    rows : FitRows
        Which of them to train on.
    settings : TrainingSettings
        Of the training that follows; this one has no callbacks of the user's.
    n_epochs, n_outputs : int

    Raises
    ------
    FloatingPointError
        If the loss or a weight is no longer finite.
    KeyboardInterrupt
        After Ctrl-C: there is no model to keep yet.
    """
    table = dataset.with_images(None)
    table = hold_where_it_fits(table, settings.device, settings.net_params).subset(rows.train)
    settings = replace(
        settings,
        max_epochs=n_epochs,
        lr=max(settings.lr, PRETRAIN_LR),
        callbacks=(),
        net_params={},
        compile=False,
        stage="embedding, epoch",
        epochs_from="pretrain_embedding",
    )
    try:
        trained = train(module.tabular_network(n_outputs), table, settings)
    except FloatingPointError as error:
        error.add_note(f"This happened while the embedding was pre-trained (pretrain_embedding={n_epochs}).")
        raise
    if trained.interrupted:
        raise KeyboardInterrupt

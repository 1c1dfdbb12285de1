"""`python -m clipmodel.training --data DIR --out DIR` trains `tiny`; `evaluate` measures it."""

from pathlib import Path

import click

DATA = Path("../shared/data")


@click.group(invoke_without_command=True)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DATA,
    show_default=True,
    help="Read flickr8k/ and tiny_imagenet/ from this folder.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the trained model to this folder."
)
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    default=Path("training-run"),
    show_default=True,
    help="Keep the training state in this folder; the same command resumes.",
)
@click.option("--device", help="Train on this device: cuda or cpu (default: cuda if available).")
@click.pass_context
def main(
    context: click.Context, data: Path, out: Path | None, run: Path, device: str | None
) -> None:
    """Train the model `tiny`: first on text, then on pictures."""
    if context.invoked_subcommand is not None:
        context.obj = data
        return
    if out is None:
        raise click.UsageError("--out is missing; give the model folder to write")
    _train(data, out, run, device)


def _train(data: Path, out: Path, run: Path, device: str | None) -> None:
    import torch

    from clipmodel.pretrained import save_folder
    from clipmodel.training.course import COURSE, TINY
    from clipmodel.training.material import gather
    from clipmodel.training.train import train

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    run.mkdir(parents=True, exist_ok=True)
    material = gather(data, run, TINY, COURSE, device)
    model = train(TINY, COURSE, material, run, device)
    folder = save_folder(out, "tiny", TINY, model.state_dict(), "float16")
    click.echo(f"wrote {folder.path} ({folder.digest[:16]})")


@main.command()
@click.option(
    "--model", default="tiny", show_default=True, help="Evaluate this model: a name or path."
)
@click.pass_obj
def evaluate(data: Path, model: str) -> None:
    """Print size, cost, recall, zero-shot accuracy and precision on unseen pictures."""
    from clipmodel.pretrained import resolve
    from clipmodel.training.evaluate import costs, flickr_recall, scene_precision, zero_shot

    folder = resolve(model)
    unseen = flickr_recall(folder, data), zero_shot(folder, data), scene_precision(folder)
    for measures in (costs(folder), *unseen):
        for name, value in measures.items():
            click.echo(f"{name:<52}{value:.3f}")


if __name__ == "__main__":
    main()

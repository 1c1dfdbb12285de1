"""`python -m clipmodel.training --data DIR --out DIR` trains the bundled model.

`evaluate` measures a model.
"""

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
@click.pass_context
def main(context: click.Context, data: Path, out: Path | None, run: Path) -> None:
    """Train the bundled model: what joins a classifier's features and a sentence encoder."""
    if context.invoked_subcommand is not None:
        context.obj = data
        return
    if out is None:
        raise click.UsageError("--out is missing; give the model folder to write")
    _train(data, out, run)


def _train(data: Path, out: Path, run: Path) -> None:
    from clipmodel.training.course import COURSE, IMAGE_TOWER
    from clipmodel.training.export import export
    from clipmodel.training.material import gather
    from clipmodel.training.train import train

    run.mkdir(parents=True, exist_ok=True)
    material = gather(data, run, COURSE)
    learner = train(IMAGE_TOWER, COURSE, material, run)
    folder = export(learner, IMAGE_TOWER, COURSE.temperature, out, out.name)
    click.echo(f"wrote {folder.path} ({folder.digest[:16]})")


@main.command()
@click.option(
    "--model", default="tiny", show_default=True, help="Evaluate this model: a name or path."
)
@click.pass_obj
def evaluate(data: Path, model: str) -> None:
    """Print size, cost, recall, zero-shot accuracy and precision on unseen pictures."""
    from clipmodel.pretrained import resolve
    from clipmodel.training.evaluate import measures

    for name, value in measures(resolve(model), data):
        click.echo(f"{name:<58}{value:.3f}")


if __name__ == "__main__":
    main()

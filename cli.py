"""The ``graphkit`` command line: parse, call one function, print. Nothing heavy is imported before it is used."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from graphkit.stages import ENCODERS, TOGETHER

if TYPE_CHECKING:
    from graphkit.artefacts import Batch, Workspace
    from graphkit.config import Config

F = TypeVar("F", bound=Callable[..., Any])
SIZES = ("tiny", "small", "medium", "large")
DEVICES = ("auto", "cpu", "cuda")
GRAPH_FORMATS = ("dgl", "pyg", "networkx", "graphml", "triples")
SNAPSHOTS = ("fit", "serve")
DESCRIBED = ("dataset", "graph")


class KnownErrors(click.Group):
    """Turns the errors graphkit knows into one message and an exit code; ``--debug`` shows the trace."""

    def invoke(self, ctx: click.Context) -> Any:
        from graphkit.errors import GraphkitError

        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted; the same command resumes", err=True)
            ctx.exit(1)
        except Exception as error:
            if ctx.meta.get("debug"):
                raise
            from graphkit.errors import as_known_error

            known = as_known_error(error)
            text = (
                known.render() if known else f"{type(error).__name__}: {error}\n  fix:      --debug shows the trace"
            )
            click.echo(f"error: {text}", err=True)
            ctx.exit(known.exit_code if isinstance(known, GraphkitError) else 1)


def _debug(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    ctx.find_root().meta["debug"] = ctx.find_root().meta.get("debug", False) or value


def _quiet(_ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        os.environ["GRAPHKIT_QUIET"] = "1"


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


in_workspace = click.option(
    "-w",
    "--workspace",
    "root",
    type=click.Path(path_type=Path),
    default="workspace",
    envvar="GRAPHKIT_WORKSPACE",
    show_default=True,
    help="The folder that holds every stage's batches.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
manners = _options(
    click.option("--quiet", is_flag=True, expose_value=False, callback=_quiet, help="No progress, no news."),
    click.option("--debug", is_flag=True, expose_value=False, callback=_debug, help="Show the trace of an error."),
)
configured = _options(
    click.option(
        "-p", "--preset", default="default", show_default=True, help="A bundled preset (README) or a TOML file."
    ),
    click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Override one setting."),
    click.option("--seed", type=click.IntRange(min=0), help="Short for --set run.seed=N."),
)
stage_options = _options(
    in_workspace,
    configured,
    click.option("--dry-run", is_flag=True, help="Print what would be read and written, and do nothing."),
    as_json,
    manners,
)


filtered = _options(
    click.option("--language", "languages", multiple=True, help="Only items in it; several times for several."),
    click.option("--available", type=click.Path(path_type=Path), help="Only the item ids of this file, one a line."),
    click.option("--exclude", type=click.Path(path_type=Path), help="None of the item ids of this file."),
)


def _filters(languages: tuple[str, ...], available: Path | None, exclude: Path | None) -> Any:
    from graphkit.serving.filters import Filters, read_ids

    listed = (None if path is None else read_ids(path) for path in (available, exclude))
    return Filters.of(languages or None, *listed)


def _workspace(root: Path) -> Workspace:
    from graphkit.artefacts import Workspace

    return Workspace(root)


def _config(root: Path, preset: str, overrides: tuple[str, ...], seed: int | None, recommended: Any = None) -> Config:
    """The resolved configuration; what the current dataset's card recommends counts unless given otherwise."""
    from graphkit.config import load_config
    from graphkit.pipeline import recommended_config

    if recommended is None:
        recommended = recommended_config(_workspace(root))
    extra = () if seed is None else (f"run.seed={seed}",)
    return load_config(preset, (*overrides, *extra), recommended)


@click.group(cls=KnownErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="graphkit")
@click.option("--debug", is_flag=True, expose_value=False, callback=_debug, help="Show the trace of an error.")
def main() -> None:
    """Listening logs in, recommendations out: co-listening graphs, GraphSAGE, two towers.

    \b
    The chain:  import | sample -> build-graph -> train-hgnn -> train-towers -> weigh-edges -> export
                -> tune-peers -> evaluate -> report
    All of it:  graphkit run --preset demo --sample -w demo
    Each command takes --help and prints an example.
    """


class Short(NamedTuple):
    """An option that stands for one ``--set``; without ``choices`` it takes any text, with ``many`` several,
    parted by commas."""

    name: str
    key: str
    choices: tuple[str, ...] = ()
    many: bool = False

    def words(self, value: str) -> str:
        """The ``--set`` that this option stands for."""
        if self.many:
            value = json.dumps([part.strip() for part in value.split(";" if ";" in value else ",") if part.strip()])
        return f"{self.key}={value}"


def _stage_command(
    name: str,
    stage: str,
    function: str,
    *shorts: Short,
    options: Sequence[Callable[[Any], Any]] = (),
    then: Callable[..., dict[str, Any]] | None = None,
) -> Callable[[Callable[[], None]], None]:
    """Register the command that makes ``stage`` by calling ``function`` ("module:name"), help from a docstring.

    An up-to-date stage is recognised before its module, and all that it imports, is loaded. ``then`` is called with
    the batch and the values of ``options`` and ``shorts``, and returns what else there is to print.
    """

    def make(
        root: Path,
        preset: str,
        overrides: tuple[str, ...],
        seed: int | None,
        dry_run: bool,
        as_json: bool,
        **given: Any,
    ) -> None:
        sets = [short.words(given[short.name]) for short in shorts if given[short.name] is not None]
        # The sample world has no card, so what the current dataset's card recommends is not for it.
        config = _config(root, preset, (*overrides, *sets), seed, recommended={} if stage == "dataset" else None)
        after = partial(then, **given) if then is not None else None
        _make(_workspace(root), config, stage, function, dry_run, as_json, then=after)

    def register(documented: Callable[[], None]) -> None:
        short_options = [
            click.option(
                f"--{s.name}",
                type=click.Choice(s.choices) if s.choices else None,
                help=f"Short for --set {s.key}={'[…]' if s.many else s.name.upper()}.",
            )
            for s in shorts
        ]
        decorate: Callable[[Any], Any] = _options(*options, *short_options, stage_options)
        main.command(name, help=documented.__doc__)(decorate(make))

    return register


def _make(
    workspace: Workspace,
    config: Config,
    stage: str,
    function: str,
    dry_run: bool,
    as_json: bool,
    *words: str,
    then: Callable[[Batch], dict[str, Any]] | None = None,
) -> None:
    """Make ``stage`` by ``function``, called with ``words`` too, and show its batch; or show the plan of it.

    ``then`` is called with the batch and returns what else there is to show.
    """
    from graphkit import console, pipeline

    if dry_run:
        estimate = pipeline.estimate(workspace, config, stage)
        console.show_plan(pipeline.plan(workspace, config, [stage]), as_json, estimate)
        return
    rank, alone = os.environ.get("RANK", "0"), stage not in TOGETHER or os.environ.get("WORLD_SIZE", "1") == "1"
    # Several processes find out together, in the stage, lest one leaves and the others wait for it.
    done = pipeline.finished(workspace, stage, config) if alone else None
    module, _, attribute = function.partition(":")
    batch = done if done is not None else getattr(import_module(module), attribute)(workspace, config, *words)
    more = then(batch) if then is not None else {}
    if alone or rank == "0":
        console.show_batch(batch, as_json, fresh=done is None, more=more)


@_stage_command("sample", "dataset", "graphkit:sample_world", Short("size", "sample.size", SIZES))
def _sample() -> None:
    """Generate the sample world: a listening platform with planted tastes.

    \b
    Example:  graphkit sample --size small --seed 7 -w demo
    """


@main.command("import")
@click.argument("card")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Refuse the source if a single row must be rejected.")
@_options(in_workspace, configured, as_json, manners)
def import_(
    card: str,
    source: Path,
    strict: bool,
    root: Path,
    preset: str,
    overrides: tuple[str, ...],
    seed: int | None,
    as_json: bool,
) -> None:
    """Turn logs, a catalogue and users into a dataset, by a dataset CARD (TOML).

    CARD is a bundled name (graphkit cards lists them) or a TOML file; SOURCE the folder its file patterns
    start from.

    \b
    Example:  graphkit import eswc2015 path/to/eswc2015 -w books
    """
    from graphkit import console, import_dataset
    from graphkit.datasets.cards import read_card

    config = _config(root, preset, overrides, seed, recommended=read_card(card).config)
    console.show_batch(import_dataset(_workspace(root), card, source, config, strict=strict), as_json)


@main.command()
def cards() -> None:
    """List the bundled dataset cards.

    \b
    Example:  graphkit cards
    """
    from graphkit.resources import folder

    for path in sorted(folder("data").glob("*.toml")):
        click.echo(f"{path.stem:<22} {path.read_text(encoding='utf-8').splitlines()[0].lstrip('# ')}")


@_stage_command("build-graph", "graph", "graphkit:build_graph", Short("memory", "graph.memory"))
def _build_graph() -> None:
    """Build the weighted co-listening graph and the items' text features.

    --memory bounds what the build takes (as 4GiB). --dry-run counts a sample of the users and says how many pairs
    and edges, seconds and MiB to expect.

    \b
    Example:  graphkit build-graph -w demo --memory 4GiB --set graph.top_k=50
    """


@_stage_command("train-hgnn", "hgnn", "graphkit:train_hgnn", Short("device", "hgnn.device", DEVICES))
def _train_hgnn() -> None:
    """Train the heterogeneous GraphSAGE and embed every item of the catalogue.

    Several processes can train one model together, each with the whole graph (and a GPU of its own where there are
    GPUs); the result is that of one process up to rounding.

    \b
    Example:  graphkit train-hgnn -w demo --device cpu --set hgnn.epochs=20
              python -m torch.distributed.run --nproc-per-node 2 -m cli train-hgnn -w demo
    """


@main.command("train-encoder")
@click.argument("name", type=click.Choice(list(ENCODERS)))
@stage_options
def train_encoder(
    name: str,
    root: Path,
    preset: str,
    overrides: tuple[str, ...],
    seed: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train one user encoder and write every user's vector, for the towers or for anything else.

    autoencoder: compresses what is known of a user (mean item vectors of several windows, counts, country,
    onboarding).
    clue: reads items as texts and draws one user's services (content types) together, apart from other users'.
    simclr: clue's model, on two augmented views of a user's behaviours.
    shopperbert: predicts the categories and dates of masked behaviours.

    It learns from what came before the towers' label period. The vectors are as of that moment and as of the
    cut-off; without timestamps, all of train, and cross-fitted. NAME is the stage's name too. With NAME.pretrained
    clue and simclr take over a model of another dataset and read this one's items by their texts.

    \b
    Example:  graphkit train-encoder autoencoder -w demo --set autoencoder.out_dim=120
              graphkit train-encoder clue -w demo --set clue.epochs=4
              graphkit train-encoder clue -w other --set clue.pretrained=demo/clue/ID
              python -m torch.distributed.run --nproc-per-node 2 -m cli train-encoder clue -w demo
    """
    config = _config(root, preset, overrides, seed)
    _make(_workspace(root), config, name, "towers:train_encoder", dry_run, as_json, name)


@_stage_command("encoder-scaling", "encoder-scaling", "towers:scale_encoder")
def _encoder_scaling() -> None:
    """Train the encoder clue over decades of computing and fit the power law of its test loss.

    Model size, sequence length, batch size and training users grow together, rung by rung. Test loss against PF-days
    is fitted on all rungs but the largest, which the law then predicts, with its interval. Four more runs hold one
    factor back. Writes scaling.json and scaling.svg; finished runs are kept after an interruption.

    \b
    Example:  graphkit encoder-scaling -w demo --set encoder_scaling.steps=240
    """


@_stage_command("train-towers", "towers", "towers:train_towers", Short("tensorboard", "towers.tensorboard"))
def _train_towers() -> None:
    """Train the two-tower model and compute every user's and item's vector.

    --tensorboard writes TensorBoard's event files below a folder. KERAS_BACKEND=torch trains on torch in place of
    TensorFlow, and then several processes can train together:
    KERAS_BACKEND=torch python -m torch.distributed.run --nproc-per-node 2 -m cli train-towers -w demo

    \b
    Example:  graphkit train-towers -w demo --tensorboard logs
    """


@_stage_command("weigh-edges", "edges", "graphkit:weigh_edges")
def _weigh_edges() -> None:
    """Learn the weights of the strongest co-listening edges: the second source of recommendations.

    An item is a ridge regression on its neighbours of every type. How strongly to regularise is chosen on held-out
    train rows, for warm and for cold users of each target type. Recommendations add up the edges' and the towers'
    scores.

    \b
    Example:  graphkit weigh-edges -w demo --set edges.neighbours=200
    """


@_stage_command("tune-blend", "blend", "graphkit:tune_blend")
def _tune_blend() -> None:
    """Choose what towers and popular items weigh beside the edges, where it can be told: on a hold-out from train.

    Trains the current chain once more in WORKSPACE/holdout, without the held-out rows, and ranks those under pairs of
    weights, for warm and for cold users of each target type. `graphkit export` and `graphkit evaluate` then take what
    is best, unless blend.towers_weight and blend.popularity_weight say otherwise. Takes as long as the chain took; a
    second call, or one after a kill, goes on from what is there.

    \b
    Example:  graphkit tune-blend -w demo
    """


def _write_tar(batch: Batch, tar: Path | None) -> dict[str, Any]:
    from graphkit.artefacts.archive import write_tar

    return {} if tar is None else {"tar": str(write_tar(batch, tar))}


@_stage_command(
    "export",
    "bundle",
    "towers:export_bundle",
    options=[click.option("--tar", type=click.Path(path_type=Path), help="Write the bundle as one tar file, too.")],
    then=_write_tar,
)
def _export() -> None:
    """Export the serving bundle: indexes, user tower (ONNX, SavedModel), vectors, histories, neighbours for reasons.

    \b
    Example:  graphkit export -w demo --tar bundle.tar
    """


@_stage_command("tune-peers", "peers", "graphkit:tune_peers", Short("memory", "peers.memory"))
def _tune_peers() -> None:
    """Tune the simple peers of the table on validation: popularity, item-kNN, EASE, ALS, NMF, LightGCN, hybrid MF.

    Validation is cut from train as the test was cut from the data. Each peer is given the same number of settings;
    the best is kept per target type, for warm and for cold users. What is tried already is kept after an
    interruption.

    \b
    Example:  graphkit tune-peers -w demo --set peers.trials=3 --set "peers.models=[item-knn,ease]"
    """


@_stage_command(
    "evaluate",
    "evaluation",
    "graphkit:evaluate",
    Short("models", "evaluation.models", many=True),
    Short("types", "evaluation.types", many=True),
    Short("groups", "evaluation.groups", many=True),
)
def _evaluate() -> None:
    """Rank the whole catalogue for every test user: tuned peers and trained models in one table, with intervals.

    Rows are whatever is there: the tuned peers always, HGNN and 2T-HGNN once trained, variants once `graphkit
    ablate` made them (with several seeds, their mean and spread). --models, --types and --groups choose, parted
    by commas (by semicolons where a name has a comma).

    \b
    Example:  graphkit evaluate -w demo --models "EASE,Item-kNN,2T-HGNN" --groups warm
    """


@main.command("evaluate-users")
@click.option(
    "--vectors",
    multiple=True,
    type=click.Choice(list(ENCODERS)),
    help="An encoder; several times for several. Default: all there are.",
)
@click.option("--tasks", multiple=True, help="A task; several times for several. Default: all that apply.")
@stage_options
def evaluate_users(
    vectors: tuple[str, ...],
    tasks: tuple[str, ...],
    root: Path,
    preset: str,
    overrides: tuple[str, ...],
    seed: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Measure frozen user vectors on tasks that they were not made for, in one table with intervals.

    Rows are the vectors of every user encoder there is, the mean embeddings of a user's history, which the others
    are held against, NMF, popularity by demographics, and where items are foreseen a hybrid factorisation as
    LightFM is one. Where a task has something else to learn, a small MLP on the vectors learns it from other users
    than it is measured on, and from an earlier time.

    \b
    Tasks:    future-listening   which items a user meets in the next days: accuracy, AUC
              sign-up            the same of new users, from what is known some hours after registering
              next-item          the next new item: HR@1, NDCG@10, MRR among 100 sampled ones, and among all
              creator-follow     whom a user starts to follow: accuracy, AUC
              profile-country, profile-age
                                 what the vector tells of a person: accuracy, mean recall
              cluster-creators, cluster-country, cluster-language, cluster-onboarding
                                 whether the nearest users are alike: nDCG@50
    Example:  graphkit evaluate-users -w demo --vectors autoencoder --tasks future-listening
    """
    named = (("downstream.vectors", vectors), ("downstream.tasks", tasks))
    sets = [f"{key}={json.dumps(values)}" for key, values in named if values]
    config = _config(root, preset, (*overrides, *sets), seed)
    _make(_workspace(root), config, "downstream", "graphkit:evaluate_users", dry_run, as_json)


@main.command()
@click.argument("names", nargs=-1)
@click.option("--seeds", type=int, default=1, show_default=True, help="Training seeds of each variant.")
@click.option("--list", "list_them", is_flag=True, help="List the variants there are, and do nothing.")
@stage_options
def ablate(
    names: tuple[str, ...],
    seeds: int,
    list_them: bool,
    root: Path,
    preset: str,
    overrides: tuple[str, ...],
    seed: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train variants of the current chain, evaluate them beside it, and print the paper's Table 1.

    NAMES are variants, or `baselines` (2T-HGNN, 2T, HGNN-w-users), or `ablations` (A to F of Table 1 and more), or
    `encoders` (2T-HGNN, and with the vectors of each user encoder and of all in its towers); without any, all.
    Each differs from the workspace's current graph, HGNN and towers by its overlay alone (configs/variants), whatever
    --preset says; --preset and --set are for the evaluation. The user encoders that a variant reads are trained with
    it, under its seed, with the settings of the workspace's own current ones, or the defaults where there are none.
    What is trained already is kept: the same command goes on after an interruption.

    \b
    Example:  graphkit ablate baselines --seeds 3 -w demo
    Example:  graphkit ablate ablations -w demo
    Example:  graphkit ablate with-autoencoder with-clue -w demo
    """
    from graphkit import console

    if list_them:
        from graphkit.variants.overlays import read_variants

        rows = [{"variant": v.name, "in the table": v.label, "what it is": v.what} for v in read_variants().values()]
        console.show_rows(rows, as_json, title="variants")
        return
    from graphkit import evaluate
    from graphkit.variants.train import plan_variants, train_variants

    workspace, config = _workspace(root), _config(root, preset, overrides, seed)
    if dry_run:
        plan = [
            {
                "variant": run.variant.name,
                "seed": run.seed,
                "workspace": str(run.workspace.root),
                "stages": ", ".join(run.stages),
                "state": "to do" if run.trained() is None else "up to date",
            }
            for run in plan_variants(workspace, names, seeds)
        ]
        console.show_rows(plan, as_json, title="dry run: nothing is written")
        return
    train_variants(workspace, names, seeds)
    console.show_ablation(evaluate(workspace, config), as_json)


@_stage_command("report", "report", "graphkit:write_report")
def _report() -> None:
    """Write one self-contained HTML page about everything in the workspace.

    \b
    Example:  graphkit report -w demo
    """


@main.command()
@click.option("--sample", "make_sample", is_flag=True, help="Start from the generated sample world.")
@click.option("--card", help="Start by importing SOURCE with this dataset card.")
@click.option("--source", type=click.Path(path_type=Path), help="The folder that --card reads from.")
@stage_options
def run(
    make_sample: bool,
    card: str | None,
    source: Path | None,
    root: Path,
    preset: str,
    overrides: tuple[str, ...],
    seed: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the whole chain; skip what is up to date, resume what was interrupted.

    Without --sample or --card it starts from the workspace's current dataset.

    \b
    Example:  graphkit run --preset demo --sample -w demo
    """
    from graphkit import console, pipeline

    if (card is None) != (source is None):
        raise click.UsageError("--card and --source go together")
    if card is not None and make_sample:
        raise click.UsageError("start from --sample or from --card, not both")
    # Command-line words that every stage of the chain gets as they stand.
    words = ["-w", str(root), "--preset", preset, *(word for text in overrides for word in ("--set", text))]
    words += [] if seed is None else ["--seed", str(seed)]
    workspace = _workspace(root)
    recommended: dict[str, Any] | None = {} if make_sample else None
    if dry_run:
        config = _config(root, preset, overrides, seed, recommended)
        stages = pipeline.chain(make_sample or card is not None, config)
        console.show_plan(pipeline.plan(workspace, config, stages, new_dataset=card is not None), as_json)
        return
    if card is not None and source is not None:
        pipeline.spawn(["import", card, str(source), *words])
    done = pipeline.run_chain(
        workspace, lambda: _config(root, preset, overrides, seed, recommended), words, make_sample
    )
    console.show_run(done, as_json)


@main.group()
def bundle() -> None:
    """Work with a serving bundle, the folder that `graphkit export` makes.

    \b
    Example:  graphkit bundle verify -w demo
    """


@bundle.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@_options(in_workspace, as_json, manners)
def verify(folder: Path | None, root: Path, as_json: bool) -> None:
    """Replay a bundle: does it give the vectors and rankings that the training process gave?

    FOLDER is a bundle, wherever it was copied to; default: the workspace's current one. A thousand stored users go
    through the bundle's own code path, under every pattern of missing features, to the tower as ONNX and, where
    TensorFlow is installed, as SavedModel. Exits with 1 if anything differs.

    \b
    Example:  graphkit bundle verify path/to/copy
    """
    from graphkit import console
    from towers import verify_bundle

    if folder is None:
        folder = _workspace(root).peek("bundle").folder
    proofs = verify_bundle(folder)
    console.show_proofs(proofs, folder, as_json)
    if any(proof.failed for proof in proofs):
        sys.exit(1)


@main.command()
@click.option("--user", required=True, help="A user id as it stands in the logs.")
@click.option("--type", "item_type", required=True, help="A target type, as audiobook.")
@click.option("-k", "count", type=int, default=10, show_default=True, help="How many items.")
@click.option("--bundle", type=click.Path(path_type=Path), help="A bundle folder; default: the workspace's current.")
@click.option("--why", is_flag=True, help="Name the user's own items that speak for each recommendation.")
@filtered
@_options(in_workspace, as_json, manners)
def recommend(
    user: str,
    item_type: str,
    count: int,
    bundle: Path | None,
    why: bool,
    languages: tuple[str, ...],
    available: Path | None,
    exclude: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Recommend items of one type to one user, from the exported bundle alone.

    \b
    Example:  graphkit recommend --user u42 --type audiobook -k 10 --why -w demo
              graphkit recommend --user u42 --type podcast --language en --available today.txt -w demo
    """
    from graphkit import console

    filters = _filters(languages, available, exclude)
    console.show_ranking(_bundle(bundle, root).recommend(user, item_type, k=count, why=why, filters=filters), as_json)


@main.command("recommend-all")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The Parquet file to write.")
@click.option("--type", "item_types", multiple=True, help="A target type; several times for several. Default: all.")
@click.option("-k", "count", type=int, default=10, show_default=True, help="How many items a user and type.")
@click.option("--bundle", type=click.Path(path_type=Path), help="A bundle folder; default: the workspace's current.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="CPU threads; 0 takes every core.")
@filtered
@_options(in_workspace, as_json, manners)
def recommend_all(
    out: Path,
    item_types: tuple[str, ...],
    count: int,
    bundle: Path | None,
    threads: int,
    languages: tuple[str, ...],
    available: Path | None,
    exclude: Path | None,
    root: Path,
    as_json: bool,
) -> None:
    """Recommend items to every user of the bundle, to one Parquet file.

    Its columns: user_id, item_type, rank, item_id, score, source.

    \b
    Example:  graphkit recommend-all --out lists.parquet --type audiobook -k 100 -w demo
    """
    from graphkit import console
    from graphkit.parallel import thread_count

    filters = _filters(languages, available, exclude)
    written = _bundle(bundle, root).recommend_all(out, item_types, count, thread_count(threads), filters)
    rows = [{"item_type": item_type, **about._asdict()} for item_type, about in written.items()]
    console.show_rows(rows, as_json, title=str(out))


@main.command()
@click.option("--item", required=True, help="An item id as it stands in the catalogue.")
@click.option("--type", "item_type", help="The item's own type, where ids repeat across types.")
@click.option("--within", help="The type to search; default: the item's own.")
@click.option("-k", "count", type=int, default=10, show_default=True, help="How many items.")
@click.option("--bundle", type=click.Path(path_type=Path), help="A bundle folder; default: the workspace's current.")
@_options(in_workspace, as_json, manners)
def similar(
    item: str, item_type: str | None, within: str | None, count: int, bundle: Path | None, root: Path, as_json: bool
) -> None:
    """Items closest to one item in the graph network's space, within a type or across types.

    \b
    Example:  graphkit similar --item podcast-17 --within audiobook -w demo
    """
    from graphkit import console

    found = _bundle(bundle, root).similar(item, item_type=item_type, within=within, k=count)
    console.show_ranking(found, as_json)


def _bundle(folder: Path | None, root: Path) -> Any:
    from graphkit import Bundle

    return Bundle.open(folder if folder is not None else _workspace(root).current("bundle"))


@main.command("embed-new-items")
@click.argument("items", type=click.Path(path_type=Path))
@click.option("--edges", type=click.Path(path_type=Path), help="A table of edges into the new items.")
@click.option("--strict", is_flag=True, help="Refuse the files if a single row must be rejected.")
@click.option("--dry-run", is_flag=True, help="Check the files, print what would be written, and do nothing.")
@_options(in_workspace, as_json, manners)
def embed_new_items(items: Path, edges: Path | None, strict: bool, dry_run: bool, root: Path, as_json: bool) -> None:
    """Embed items that are not in the catalogue with the trained HGNN: by their text, and by a few edges.

    ITEMS (Parquet, CSV, TSV, JSON Lines) has item_id, item_type and title, description or both; EDGES item_id,
    item_type, neighbour_id, neighbour_type and, if you like, kind (co-listening) and weight (1). A neighbour is an
    item of the catalogue or another new one. Nothing is trained and the catalogue's embeddings stay as they are, so
    the vectors may be compared with them. A batch holds the items of this call alone: for more, give all in one file.

    \b
    Example:  graphkit embed-new-items new.csv --edges new_edges.csv -w demo
    """
    from graphkit import console
    from graphkit.new_items.spec import Upstream, new_items_spec

    workspace = _workspace(root)
    if dry_run:
        from graphkit.new_items.plan import plan_new_items

        plan = plan_new_items(workspace, items, edges, strict)
        console.show_facts(plan, as_json, title="dry run: nothing is written")
        return
    done = workspace.finished(new_items_spec(Upstream.of(workspace), items, edges, strict))
    if done is None:
        from graphkit import embed_new_items as embed

        console.show_batch(embed(workspace, items, edges, strict), as_json)
        return
    console.show_batch(done, as_json, fresh=False)


@main.command("import-user-vectors")
@click.argument("pairs", nargs=-1, required=True, metavar="NAME=FILE…")
@click.option("--strict", is_flag=True, help="Refuse the files if a single row must be rejected.")
@click.option("--dry-run", is_flag=True, help="Check the files, print what would be written, and do nothing.")
@_options(in_workspace, as_json, manners)
def import_user_vectors(pairs: tuple[str, ...], strict: bool, dry_run: bool, root: Path, as_json: bool) -> None:
    """Import vectors of users that another system made, as an input of the user tower.

    FILE (Parquet, CSV, TSV, JSON Lines) has user_id, vector (a list of numbers) and, if you have it, as_of: fit for
    a vector made before the label period, serve for one made before the cut-off. A row without as_of counts for
    both, and must then be older than the label period. A user without a vector counts as unknown. train-towers reads
    the vectors that towers.user_vectors names. A batch holds the vectors of this call alone: give all at once.

    \b
    Example:  graphkit import-user-vectors music=music.parquet -w demo
              graphkit train-towers --set towers.user_vectors=[music] -w demo
    """
    from graphkit import console
    from graphkit.vector_import.spec import import_spec, read_pairs

    workspace, files = _workspace(root), read_pairs(pairs)
    if dry_run:
        from graphkit.vector_import.stage import plan_import

        console.show_facts(plan_import(workspace, files, strict), as_json, title="dry run: nothing is written")
        return
    done = workspace.finished(import_spec(workspace, files, strict))
    if done is None:
        from graphkit import import_user_vectors as read

        console.show_batch(read(workspace, files, strict), as_json)
        return
    console.show_batch(done, as_json, fresh=False)


@main.command()
@_options(in_workspace, as_json, manners)
def batches(root: Path, as_json: bool) -> None:
    """Show the chain of batches and what is stale.

    \b
    Example:  graphkit batches -w demo
    """
    from graphkit import console, pipeline

    console.show_rows(pipeline.batch_rows(_workspace(root)), as_json, title=f"batches in {root}")


@main.command()
@click.argument("what", type=click.Choice(DESCRIBED), required=False)
@_options(in_workspace, configured, as_json, manners)
def describe(
    what: str | None, root: Path, preset: str, overrides: tuple[str, ...], seed: int | None, as_json: bool
) -> None:
    """Look at the data and at the graph: who listens to how much, to what, and what joins with what.

    WHAT is dataset (concentration, similarity of tastes and of texts, the paper's four observations, weak
    signals; of train rows alone) or graph (imbalance, degrees, components); both that are there without it.
    Nothing is written.

    \b
    Example:  graphkit describe dataset -w demo
    """
    from graphkit import console, describe_dataset, describe_graph

    workspace, config = _workspace(root), _config(root, preset, overrides, seed)
    described: dict[str, Any] = {}
    if what == "dataset" or what is None:
        described["dataset"] = describe_dataset(workspace, config)
    if what == "graph" or (what is None and workspace.has("graph")):
        described["graph"] = describe_graph(workspace, config)
    console.show_descriptions(described, as_json)


@main.command()
@_options(in_workspace, configured, as_json, manners)
def claims(root: Path, preset: str, overrides: tuple[str, ...], seed: int | None, as_json: bool) -> None:
    """Test the papers' claims on the workspace's data: what was measured, beside the paper, and the verdict.

    holds and does not hold: the whole 95 % interval is on the claimed side, or on the other; undecided: on
    neither; planted: the data were generated to show it; not measured: a model or training is missing here;
    untested: no dataset can tell. Nothing is written.

    The 2T-HGNN paper's claims are measured on the evaluation, those of the user encoders' papers on what `graphkit
    evaluate-users` and `graphkit encoder-scaling` wrote, as far as they are there.

    \b
    Example:  graphkit claims -w demo
    """
    from graphkit import console, measure_claims

    console.show_claims(measure_claims(_workspace(root), _config(root, preset, overrides, seed)), as_json)


@main.command("export-graph")
@click.option("--format", "graph_format", type=click.Choice(GRAPH_FORMATS), required=True, help="Whose format.")
@click.option(
    "--snapshot",
    type=click.Choice(SNAPSHOTS),
    default="serve",
    show_default=True,
    help="fit: what the network is trained on; serve: as of the cut-off.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@_options(in_workspace, as_json, manners)
def export_graph(graph_format: str, snapshot: str, out: Path, force: bool, root: Path, as_json: bool) -> None:
    """Write the graph for another tool: DGL, PyTorch Geometric, NetworkX (JSON), GraphML, or Parquet triples.

    Edges are written in each direction in which they are there. dgl and pyg know nodes by number: a table
    beside the file (.nodes.parquet) tells each node's id and title.

    \b
    Example:  graphkit export-graph --format triples -o edges.parquet -w demo
    """
    from graphkit import console
    from graphkit import export_graph as write

    console.show_graph_export(write(_workspace(root), out, graph_format, snapshot, force=force), as_json)


@main.command("audit-leakage")
@_options(in_workspace, as_json, manners)
def audit_leakage(root: Path, as_json: bool) -> None:
    """Prove that nothing of the future got into a finished run, or name the first offending row.

    Reads every current batch and recounts it from the dataset's rows. Exits with 1 if there is a leak.

    \b
    Example:  graphkit audit-leakage -w demo
    """
    from graphkit import audit_leakage as audit
    from graphkit import console

    findings = audit(_workspace(root))
    console.show_audit(findings, as_json)
    if any(finding.is_leak for finding in findings):
        sys.exit(1)


@main.command("config")
@_options(in_workspace, configured)
def show_config(root: Path, preset: str, overrides: tuple[str, ...], seed: int | None) -> None:
    """Print the resolved configuration as TOML.

    \b
    Example:  graphkit config --preset paper --set hgnn.epochs=5
    """
    from graphkit import console

    click.echo(console.as_toml(_config(root, preset, overrides, seed)), nl=False)


@main.command()
@_options(in_workspace, configured, as_json, manners)
def doctor(root: Path, preset: str, overrides: tuple[str, ...], seed: int | None, as_json: bool) -> None:
    """Check this machine: versions, neighbour back end, GPU, text model; what to do about each problem.

    \b
    Example:  graphkit doctor
    """
    from graphkit import console
    from graphkit.doctor import examine

    findings = examine(_workspace(root), _config(root, preset, overrides, seed))
    console.show_findings(findings, as_json)
    if any(finding.status == "problem" for finding in findings):
        sys.exit(1)


if __name__ == "__main__":
    main()

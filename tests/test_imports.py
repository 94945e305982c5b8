"""Who imports whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skbgopt

PACKAGE = Path(skbgopt.__file__).parent
LAYOUT = Path(__file__).parents[1] / "docs" / "development" / "layout.md"
CORE = ("splines", "control_points", "losses", "solvers")
ESTIMATORS = ("background", "regression", "each_image", "model_selection")


def module_name(path):
    """Dotted name of a file of the package, and whether it is a package itself."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts), parts[-1] == "__init__"


def runtime_nodes(tree):
    """All nodes but those under ``if TYPE_CHECKING``."""
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for child in ast.walk(part)
    }
    return [node for node in ast.walk(tree) if id(node) not in skipped]


def imports_of(path):
    """Absolute names that a file imports, at its top or inside functions."""
    name, is_package = module_name(path)
    found = set()
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")[: None if is_package and node.level == 1 else -node.level + is_package]
                base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                submodule = PACKAGE.parent.joinpath(*base.split("."), alias.name)
                is_module = submodule.with_suffix(".py").is_file() or submodule.is_dir()
                found |= {f"{base}.{alias.name}"} if is_module else {base, f"{base}.{alias.name}"}
    return found


GRAPH = {module_name(path)[0]: imports_of(path) for path in sorted(PACKAGE.rglob("*.py"))}


def importers_of(package):
    """Modules of ours that import it themselves."""
    return {
        name
        for name, imported in GRAPH.items()
        if any(target == package or target.startswith(package + ".") for target in imported)
    }


def reached_from(name):
    """All that is imported by a module of ours, directly or through others of ours but the package's root."""
    reached, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        for target in GRAPH[current] - reached:
            reached.add(target)
            if target in GRAPH and target != "skbgopt":
                waiting.append(target)
    return reached


def belongs_to(targets, package):
    """Those of the targets that are the package or in it."""
    return {target for target in targets if target == package or target.startswith(package + ".")}


def test_the_graph_is_not_empty():
    """The tests here look at what is there."""
    assert {f"skbgopt.{name}" for name in (*CORE, "background", "io", "datasets", "cli")} <= set(GRAPH)
    assert "skbgopt.losses" in GRAPH["skbgopt.solvers"]
    assert "torch" in reached_from("skbgopt.background")


@pytest.mark.parametrize("name", CORE)
def test_the_core_knows_no_estimator(name):
    """Splines, control points, losses and solvers import no scikit-learn and no estimator."""
    reached = reached_from(f"skbgopt.{name}")
    assert not belongs_to(reached, "sklearn")
    for estimator in ESTIMATORS:
        assert not belongs_to(reached, f"skbgopt.{estimator}")


@pytest.mark.parametrize("name", [n for n in GRAPH if n.startswith(("skbgopt.io", "skbgopt.datasets"))])
def test_files_and_made_frames_know_no_torch(name):
    """Reading, writing and making frames works without torch."""
    assert not belongs_to(reached_from(name), "torch")


def test_one_importer_of_matplotlib():
    """Only the displays draw."""
    assert {name.rpartition(".")[0] for name in importers_of("matplotlib")} <= {"skbgopt.plotting"}


def test_one_importer_of_optuna():
    """Only the search knows optuna."""
    assert belongs_to(importers_of("optuna"), "skbgopt.model_selection") == importers_of("optuna") != set()


def test_private_parts_of_scikit_learn_in_few_places():
    """Of scikit-learn the parameter constraints and the check of weights are all that is used and private."""
    private = {
        target
        for imported in GRAPH.values()
        for target in imported
        if target.startswith("sklearn.") and any(part.startswith("_") for part in target.split("."))
    }
    constraints = {target for target in private if target.startswith("sklearn.utils._param_validation")}
    assert private - constraints == {"sklearn.utils.validation._check_sample_weight"}


def test_imports_point_down_the_list_of_the_layout():
    """Every module stands on it, and imports none that stands above."""
    rows = [line.split("|")[1] for line in LAYOUT.read_text().splitlines() if line.startswith("| `")]
    level = {name: k for k, row in enumerate(rows) for name in re.findall(r"`(\w+)/?`", row)}
    assert {name.split(".")[1] for name in GRAPH if "." in name} - {"__main__"} == set(level)
    for name in set(GRAPH) - {"skbgopt", "skbgopt.__main__"}:
        for target in belongs_to(GRAPH[name] & set(GRAPH), "skbgopt") - {"skbgopt"}:
            assert level[name.split(".")[1]] <= level[target.split(".")[1]], f"{name} imports {target}"


def test_no_cycles():
    """No module reaches itself through others."""
    for name in GRAPH:
        if name != "skbgopt":
            assert name not in {t for d in GRAPH[name] & set(GRAPH) - {"skbgopt", name} for t in reached_from(d)}, name


def test_nothing_of_the_tests_or_the_command_is_imported_by_the_library():
    """The command stands on top, and ``python -m`` is the command."""
    assert {name for name in importers_of("skbgopt.cli") if not name.startswith("skbgopt.cli")} == {"skbgopt.__main__"}


@pytest.mark.parametrize("module", ["skbgopt", "skbgopt.cli", "skbgopt.io", "skbgopt.datasets", "skbgopt.plotting"])
@pytest.mark.parametrize("heavy", ["torch", "matplotlib", "optuna"])
def test_importing_does_not_load_what_is_heavy(module, heavy):
    """So that the command's help answers at once."""
    code = f"import sys, {module}; sys.exit(any(name.split('.')[0] == {heavy!r} for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_there():
    """Every name of __all__ can be had, and no other is made up."""
    for name in skbgopt.__all__:
        assert getattr(skbgopt, name) is not None
    assert set(dir(skbgopt)) == set(skbgopt.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Backround'"):
        skbgopt.Backround  # noqa: B018

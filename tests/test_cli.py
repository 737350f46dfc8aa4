"""`klfast compare`, run as a process: its figures are right, in every output and for every kind of input it takes."""


import numpy as np
import pytest
from command import (
    ACCURACY,
    EXAMPLES,
    PNG_SIGNATURE,
    ROW_COLUMNS,
    TARGET_COLUMNS,
    assert_figures,
    compare_as_json,
    environment,
    exact_rows,
    figures_of,
    logits,
    npy_bytes,
    read_csv,
    reference_rows,
    run,
    run_well,
    save,
    strict_json,
    without,
)

# Its import builds the cache of fonts where there is none yet; the processes under test would mention that.
from matplotlib import pyplot

import klfast

# The example files: every figure against 40-digit arithmetic ---------------------------------------------------------


@pytest.mark.parametrize("place", ("standard output", "file"))
@pytest.mark.parametrize("model", ("test_q8", "test_q4"))
def test_json_of_the_examples_is_exact(model, place, tmp_path):
    files = {"base": EXAMPLES / "base.npy", "test": EXAMPLES / f"{model}.npy", "targets": EXAMPLES / "targets.npy"}
    arguments = (files["base"], files["test"], "--targets", files["targets"])
    if place == "file":
        run_well("compare", *arguments, "--json", tmp_path / "out.json")
        summary = strict_json((tmp_path / "out.json").read_text())
    else:
        summary = compare_as_json(*arguments)
    assert_figures(summary, exact_rows(model))
    assert summary["files"] == {name: str(path) for name, path in files.items()}
    assert (summary["klfast"], summary["unit"]) == (klfast.__version__, "nats")
    assert (summary["dtype"], summary["vocabulary"]) == ("float32", 49152)
    assert (summary["rows"]["total"], summary["rows"]["used"], summary["rows"]["undefined"]["count"]) == (3, 3, 0)
    assert all(infinite == {"count": 0, "first_rows": []} for infinite in summary["rows"]["infinite"].values())


@pytest.mark.parametrize("model", ("test_q8", "test_q4"))
def test_csv_of_the_examples_is_exact(model, tmp_path):
    arguments = (EXAMPLES / "base.npy", EXAMPLES / f"{model}.npy", "--targets", EXAMPLES / "targets.npy")
    run_well("compare", *arguments, "--csv", tmp_path / "out.csv")
    header, columns = read_csv(tmp_path / "out.csv")
    assert header == ROW_COLUMNS + TARGET_COLUMNS
    np.testing.assert_array_equal(columns["row"], range(3))
    np.testing.assert_array_equal(columns["target"], np.load(EXAMPLES / "targets.npy"))
    for name, values in exact_rows(model).items():
        if name in columns:
            absolute = ACCURACY if name == "probability_change" else 0.0
            np.testing.assert_allclose(columns[name], values, rtol=ACCURACY, atol=absolute, err_msg=name)


@pytest.mark.parametrize("rich", (True, False), ids=("with rich", "without rich"))
def test_table_of_the_examples_names_files_rows_and_figures(rich, tmp_path):
    files = [EXAMPLES / name for name in ("base.npy", "test_q4.npy", "targets.npy")]
    env = environment() if rich else without("rich", tmp_path)
    table = run_well("compare", *files[:2], "--targets", files[2], env=env)
    assert table.isascii() or rich
    for name, path in zip(("base", "test", "targets"), files, strict=True):
        assert f"{name:8}{path}\n" in table
    assert "rows    3 of 3, float32, vocabulary 49152\n" in table
    rows = exact_rows("test_q4")
    for label, value in {
        "mean KL(base || test)": f"{rows['kl'].mean():.6g}",
        "mean KL(test || base)": f"{rows['reverse_kl'].mean():.6g}",
        "maximum": f"{rows['kl'].max():.6g}",
        "same top token": "66.667%",
        "perplexity of test": f"{np.exp(rows['cross_entropy_test'].mean()):.6g}",
    }.items():
        (line,) = (line for line in table.splitlines() if label in line)
        assert value in line


@pytest.mark.parametrize("columns", ("120", "30"))
@pytest.mark.parametrize("encoding", ("utf-8", "ascii"))
def test_table_is_whole_however_narrow_and_plain_the_terminal_is(encoding, columns):
    env = environment(COLUMNS=columns, PYTHONIOENCODING=encoding)
    table = run_well("compare", EXAMPLES / "base.npy", EXAMPLES / "test_q4.npy", env=env)
    assert f"{exact_rows('test_q4')['kl'].mean():.6g}" in table


# Outputs -------------------------------------------------------------------------------------------------------------


def test_csv_has_a_line_a_row_and_no_target_columns_without_targets(tmp_path):
    base, _, _ = logits(3000, 300)
    near = base + np.random.default_rng(0).normal(scale=1e-7, size=base.shape).astype(np.float32)
    files = save(tmp_path, base=base, test=near)
    run_well("compare", *files, "--csv", tmp_path / "out.csv", "--json", tmp_path / "out.json")
    header, columns = read_csv(tmp_path / "out.csv")
    assert header == ROW_COLUMNS
    np.testing.assert_array_equal(columns["row"], range(3000))
    for name in ("kl", "reverse_kl", "js", "entropy_base", "entropy_test"):
        assert not np.signbit(columns[name]).any(), name
    summary = strict_json((tmp_path / "out.json").read_text())
    assert summary["kl"]["mean"] == pytest.approx(columns["kl"].mean(), rel=1e-12)
    assert "targets" not in summary
    assert summary["files"]["targets"] is None


def plot_cases():
    """Pairs of logits, and whether any of their KL has a place on a logarithmic axis."""
    base, test, _ = logits(400, 50)
    one_possible = test.copy()
    one_possible[1:, 7] = -np.inf
    return {
        "many rows": (base, test, True),
        "one row": (base[:1], test[:1], True),
        "equal rows": (np.repeat(base[:1], 9, axis=0), np.repeat(test[:1], 9, axis=0), True),
        "all but one infinite": (base[:5], one_possible[:5], True),
        "all infinite": (base[1:5], one_possible[1:5], False),
        "all zero": (base, base, False),
        "all undefined": (base * np.float32(np.nan), test, False),
    }


@pytest.mark.parametrize("name", plot_cases())
def test_plot_is_a_picture_with_the_rows_in_it(name, tmp_path):
    base, test, drawable = plot_cases()[name]
    run_well("compare", *save(tmp_path, base=base, test=test), "--plot", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(PNG_SIGNATURE)
    picture = pyplot.imread(tmp_path / "out.png")
    for panel in np.array_split(picture, 2, axis=1):
        red, blue = panel[..., 0], panel[..., 2]
        assert red.std() > 0.01
        # All text and all lines are grey, only what stands for rows is blue.
        assert (np.count_nonzero(blue > red + 0.3) > 20) == drawable


def test_outputs_replace_older_files_and_leave_nothing_besides(tmp_path):
    inputs = save(tmp_path, base=logits()[0], test=logits()[1])
    outputs = [tmp_path / name for name in ("out.json", "out.csv", "OUT.PNG")]
    for path in outputs:
        path.write_text("older " * 10_000)
    run_well("compare", *inputs, "--json", outputs[0], "--csv", outputs[1], "--plot", outputs[2])
    assert strict_json(outputs[0].read_text())["rows"]["used"] == 6
    assert len(outputs[1].read_text().splitlines()) == 1 + 6
    assert outputs[2].read_bytes().startswith(PNG_SIGNATURE)
    assert sorted(tmp_path.iterdir()) == sorted([*inputs, *outputs])


# Inputs --------------------------------------------------------------------------------------------------------------


def test_a_file_compared_with_itself_differs_by_exactly_nothing(tmp_path):
    path = EXAMPLES / "test_q4.npy"
    table = run_well("compare", path, path, "--targets", EXAMPLES / "targets.npy", "--json", tmp_path / "out.json")
    figures = figures_of(strict_json((tmp_path / "out.json").read_text()))
    for name in ("kl.mean", "kl.maximum", "kl.standard_error", "reverse_kl.mean", "js.mean", "targets.log_ratio.mean"):
        assert figures[name] == 0.0, name
    assert figures["same_top_token.fraction"] == 1.0
    assert figures["targets.perplexity.ratio"] == 1.0
    assert "100.000%" in table


@pytest.mark.parametrize("dtype", ("<f2", "<f4", "<f8", ">f2", ">f4", ">f8"))
def test_every_floating_point_type_and_byte_order_is_read(dtype, tmp_path):
    base, test, targets = logits()
    base, test = base.astype(dtype), test.astype(dtype)
    files = save(tmp_path, base=base, test=test, targets=targets)
    summary = compare_as_json(*files[:2], "--targets", files[2])
    # Double precision has to be kept all the way.
    accuracy = 1e-11 if base.itemsize == 8 else ACCURACY
    assert_figures(summary, reference_rows(base, test, targets), accuracy)
    assert summary["dtype"] == np.dtype(dtype).name


def test_figures_of_many_rows_are_those_of_all_together(tmp_path):
    """More rows than are read at a time, and the later ones differ more than the first."""
    base, test, targets = logits(6000)
    test += (test - base) * np.linspace(0, 3, 6000, dtype=np.float32)[:, np.newaxis]
    files = save(tmp_path, base=base, test=test, targets=targets)
    assert_figures(compare_as_json(*files[:2], "--targets", files[2]), reference_rows(base, test, targets))


@pytest.mark.parametrize("dtype", ("i1", "<i2", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", ">i4", ">u8"))
def test_targets_of_every_integer_type_are_read(dtype, tmp_path):
    base, test, targets = logits()
    files = save(tmp_path, base=base, test=test, targets=targets.astype(dtype))
    run_well("compare", *files[:2], "--targets", files[2], "--csv", tmp_path / "out.csv")
    _, columns = read_csv(tmp_path / "out.csv")
    np.testing.assert_array_equal(columns["target"], targets)
    expected = reference_rows(base, test, targets)
    for name in ("cross_entropy_base", "cross_entropy_test"):
        np.testing.assert_allclose(columns[name], expected[name], rtol=ACCURACY)


@pytest.mark.parametrize("targets_shape", ((2, 3), (6,)))
def test_leading_axes_are_read_as_one(targets_shape, tmp_path):
    base, test, targets = logits(6, 50)
    targets %= 50
    shaped = {"base": base.reshape(2, 3, 50), "test": test.reshape(2, 3, 50)}
    files = save(tmp_path, **shaped, targets=targets.reshape(targets_shape))
    assert_figures(compare_as_json(*files[:2], "--targets", files[2]), reference_rows(base, test, targets))


def test_one_axis_is_one_row(tmp_path):
    base, test, targets = logits(1)
    files = save(tmp_path, base=base[0], test=test[0], targets=targets)
    summary = compare_as_json(*files[:2], "--targets", files[2])
    assert summary["rows"]["total"] == 1
    (kl,) = reference_rows(base, test)["kl"]
    assert summary["kl"]["mean"] == pytest.approx(kl, rel=ACCURACY)
    assert summary["kl"]["minimum"] == summary["kl"]["median"] == summary["kl"]["maximum"] == summary["kl"]["mean"]
    assert summary["kl"]["standard_error"] is None


@pytest.mark.parametrize("filler", ("", " "))
def test_arrays_are_read_wherever_they_begin_in_the_file(filler, tmp_path):
    """Other programs do not pad the header as numpy does, so numbers may lie at any address."""
    base, test, _ = logits()
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 300), }" + filler + "\n"
    for name, array in (("base", base), ("test", test)):
        (tmp_path / name).write_bytes(npy_bytes(header, array.tobytes()))
    assert_figures(compare_as_json(tmp_path / "base", tmp_path / "test"), reference_rows(base, test))


@pytest.mark.parametrize("version", ((2, 0), (3, 0)))
def test_later_versions_of_the_format_are_read(version, tmp_path):
    base, test, _ = logits()
    for name, array in (("base", base), ("test", test)):
        with open(tmp_path / name, "wb") as file:
            np.lib.format.write_array(file, array, version=version)
    assert_figures(compare_as_json(tmp_path / "base", tmp_path / "test"), reference_rows(base, test))


# Rows that are no distributions, and infinite figures ----------------------------------------------------------------


def test_undefined_rows_are_named_and_left_out(tmp_path):
    base, test, targets = logits()
    expected = reference_rows(*(array[[0, 3, 5]] for array in (base, test, targets)))
    base[1, 17], test[2, 0], base[4] = np.nan, np.inf, -np.inf
    files = save(tmp_path, base=base, test=test, targets=targets)
    outputs = ("--json", tmp_path / "out.json", "--csv", tmp_path / "out.csv")
    table = run_well("compare", *files[:2], "--targets", files[2], *outputs)
    summary = strict_json((tmp_path / "out.json").read_text())
    assert_figures(summary, expected)
    assert (summary["rows"]["total"], summary["rows"]["used"]) == (6, 3)
    assert summary["rows"]["undefined"] == {"count": 3, "first_rows": [1, 2, 4]}
    assert "rows    3 of 6," in table
    assert "note: 3 rows (1, 2, 4): left out" in table
    np.testing.assert_array_equal(np.isnan(read_csv(tmp_path / "out.csv")[1]["kl"]), np.isin(range(6), [1, 2, 4]))


def test_only_the_first_of_many_undefined_rows_are_named(tmp_path):
    base, test, _ = logits(5000, 300)
    base[4000::2, 3] = np.nan
    files = save(tmp_path, base=base, test=test)
    table = run_well("compare", *files, "--json", tmp_path / "out.json")
    undefined = strict_json((tmp_path / "out.json").read_text())["rows"]["undefined"]
    assert undefined == {"count": 500, "first_rows": [4000, 4002, 4004, 4006, 4008]}
    assert "note: 500 rows (4000, 4002, 4004, 4006, 4008, ...): " in table


def test_without_a_defined_row_there_are_no_means(tmp_path):
    _, test, targets = logits()
    files = save(tmp_path, base=np.full_like(test, np.nan), test=test, targets=targets)
    table = run_well("compare", *files[:2], "--targets", files[2], "--json", tmp_path / "out.json")
    summary = strict_json((tmp_path / "out.json").read_text())
    assert set(figures_of(summary).values()) == {None}
    assert (summary["rows"]["used"], summary["rows"]["undefined"]["count"]) == (0, 6)
    assert "rows    0 of 6," in table


def test_rows_of_infinite_kl_are_named_and_make_the_mean_infinite(tmp_path):
    base, test, targets = logits()
    test[1, 250] = test[4, 0] = -np.inf
    files = save(tmp_path, base=base, test=test, targets=targets)
    ended = run("compare", *files[:2], "--targets", files[2], "--json", "-")
    assert ended.returncode == 0
    assert ended.stderr == "klfast: 2 rows (1, 4): KL(base || test) is infinite, and so is its mean\n"
    summary, expected = strict_json(ended.stdout), reference_rows(base, test)
    nothing = {"count": 0, "first_rows": []}
    assert summary["rows"]["infinite"] == {
        "kl": {"count": 2, "first_rows": [1, 4]},
        "reverse_kl": nothing,
        "cross_entropy_base": nothing,
        "cross_entropy_test": nothing,
    }
    assert summary["rows"]["used"] == 6
    assert summary["kl"]["mean"] == summary["kl"]["maximum"] == summary["kl"]["percentiles"]["90"] == "inf"
    assert summary["kl"]["median"] == pytest.approx(np.median(expected["kl"]), rel=ACCURACY)
    assert summary["reverse_kl"]["mean"] == pytest.approx(expected["reverse_kl"].mean(), rel=ACCURACY)
    assert summary["js"]["mean"] == pytest.approx(expected["js"].mean(), rel=ACCURACY)
    assert "note: 2 rows (1, 4): KL(base || test) is infinite" in run_well("compare", *files[:2])


def test_an_impossible_target_makes_the_perplexity_infinite(tmp_path):
    base, test, targets = logits()
    base[3, targets[3]] = test[3, targets[3]] = test[5, targets[5]] = -np.inf
    files = save(tmp_path, base=base, test=test, targets=targets)
    run_well("compare", *files[:2], "--targets", files[2], "--json", tmp_path / "out.json")
    summary = strict_json((tmp_path / "out.json").read_text())
    assert summary["rows"]["infinite"]["cross_entropy_base"] == {"count": 1, "first_rows": [3]}
    assert summary["rows"]["infinite"]["cross_entropy_test"] == {"count": 2, "first_rows": [3, 5]}
    assert summary["targets"]["perplexity"] == {"base": "inf", "test": "inf", "ratio": None}


def test_classes_impossible_in_both_files_add_nothing(tmp_path):
    base, test, _ = logits()
    base[1, 250:] = test[1, 250:] = base[4, :100] = test[4, :100] = -np.inf
    assert_figures(compare_as_json(*save(tmp_path, base=base, test=test)), reference_rows(base, test))

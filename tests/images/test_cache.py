import errno
import functools
import gzip
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings

import joblib
import nibabel as nib
import numpy as np
import pytest
from forks import run_forking

from skhyperfusion.images import ImageLoader, cache_info, clear_cache, register_reader
from skhyperfusion.images._cache import _disk as disk
from skhyperfusion.images._cache._memory import CACHE, ImageCache, machine_memory, n_workers
from skhyperfusion.images._formats._raw import RawHeader
from skhyperfusion.images._voxels._recipe import Decoded, Recipe

NBYTES = 480 * 4  # of one image of the `volume` fixture


def log_decoding(path, voxels):
    """An intensity rule that notes each decoding as one byte of a file: whole in every process."""
    with open(path, "ab", buffering=0) as file:
        file.write(b"x")
    return voxels


class Logged:
    """The same as an object, so that processes can be sent it."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self, voxels):
        return log_decoding(self.path, voxels)

    @property
    def count(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0


@pytest.fixture
def scans(save_nifti, as_column, volume):
    return as_column(*[save_nifti(volume + i, f"{i}.nii.gz") for i in range(4)])


@pytest.fixture
def logged(tmp_path):
    return Logged(tmp_path / "log")


# -- memory ----------------------------------------------------------------------------------------------


def test_memory_when_read_twice_decodes_once(scans, logged):
    for _ in range(3):  # folds, candidates, epochs
        source = ImageLoader(intensity=logged).open(scans)
        source.stack()
        source.read([1, 2])
    assert logged.count == 4
    info = cache_info()
    assert (info["images"], info["nbytes"], info["decoded"]) == (4, 4 * NBYTES, 4)
    assert info["hits"] == 3 * 6 - 4


def test_memory_when_parameters_differ_keeps_both(scans, logged):
    for shape in ((3, 3, 3), (4, 4, 4)):
        for _ in range(2):
            ImageLoader(shape=shape, intensity=logged).open(scans).stack()
    assert logged.count == 8


def test_memory_when_the_file_changes_decodes_anew(save_nifti, as_column, volume):
    path = save_nifti(volume)
    first = ImageLoader(intensity=None).open(as_column(path)).stack()
    save_nifti(volume * 2)
    os.utime(path, ns=(1, 1))
    second = ImageLoader(intensity=None).open(as_column(path)).stack()
    np.testing.assert_array_equal(second, first * 2)


def test_opening_when_repeated_plans_each_file_once_per_recipe(save_nifti, as_column, volume, monkeypatch):
    planned = []
    plan = Recipe.plan
    monkeypatch.setattr(Recipe, "plan", lambda recipe, stored: planned.append(recipe) or plan(recipe, stored))
    column = as_column(save_nifti(volume, "a.nii"), save_nifti(volume, "b.nii"))
    first = ImageLoader().open(column).spec
    assert ImageLoader().open(column).spec == first
    assert len(planned) == 2
    assert ImageLoader(shape=(3, 3, 3)).open(column).spec.shape == (3, 3, 3)
    assert len(planned) == 4
    longer = save_nifti(volume[:4], "a.nii")
    assert ImageLoader().open(as_column(longer)).spec.shape == (4, 8, 10)
    assert len(planned) == 5
    with pytest.raises(ValueError, match=r"b\.nii"):
        ImageLoader(memory=0).open(column)


def test_opening_when_planned_under_a_higher_limit_is_refused_all_the_same(save_nifti, as_column, volume):
    column = as_column(save_nifti(volume))  # 480 voxels of 1 mm
    assert ImageLoader(spacing=0.5).open(column).spec.shape == (12, 16, 20)
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .*max_voxels=1000"):
        ImageLoader(spacing=0.5, max_voxels=1000).open(column)


def test_opening_when_a_planned_file_has_gone_says_so(save_nifti, as_column, volume):
    column = as_column(save_nifti(volume))
    ImageLoader().open(column)
    os.remove(column["scan"].iloc[0])
    with pytest.raises(ValueError, match=r"Row 'p0', column 'scan': .* does not exist"):
        ImageLoader().open(column)


def test_memory_when_zero_keeps_nothing(scans, logged):
    source = ImageLoader(intensity=logged, memory=0).open(scans)
    source.stack()
    source.stack()
    assert logged.count == 8
    assert cache_info()["images"] == 0
    assert not source.fits_in_memory


def test_memory_when_full_drops_the_least_recently_used(scans, logged):
    source = ImageLoader(intensity=logged, memory=2 * NBYTES).open(scans)
    assert not source.fits_in_memory
    for row in (0, 1, 0, 2):  # 1 goes when 2 comes
        source.read([row])
    assert (logged.count, cache_info()["nbytes"]) == (3, 2 * NBYTES)
    source.read([0])
    assert logged.count == 3
    source.read([1])
    assert logged.count == 4


def test_memory_when_auto_is_a_quarter_of_the_machine(scans):
    assert n_workers() == 1
    assert ImageLoader().open(scans)._store.memory == machine_memory() // 4
    assert ImageLoader(memory=5).open(scans)._store.memory == 5
    assert ImageLoader().open(scans).fits_in_memory
    assert 1 << 28 < machine_memory() < 1 << 50


def test_memory_when_an_image_is_changed_by_the_caller_stays(scans):
    source = ImageLoader().open(scans)
    first = source.stack()
    first[:] = 0
    assert source.stack().any()


def test_memory_when_threads_ask_together_decodes_once(scans, logged):
    source = ImageLoader(intensity=logged).open(scans)
    threads = [threading.Thread(target=source.stack) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logged.count == 4


def decoded(n_values):
    """An image of 4 * n_values bytes."""
    return Decoded(np.zeros(n_values, np.float32), RawHeader((n_values,)), False)


def test_image_cache_when_used_from_threads_keeps_its_bound():
    cache = ImageCache()

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(300):
            key = str(rng.integers(20))
            with cache.claim(key):
                if cache.get(key) is None:
                    cache.put(key, decoded(int(rng.integers(1, 50))), int(rng.choice([200, 400])))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [one.image.nbytes for images in cache._images.values() for one in images.values()]
    assert cache.nbytes == sum(kept) <= 400
    assert not cache._busy


def test_memory_when_a_loader_has_little_leaves_the_others_images(scans, logged):
    roomy = ImageLoader(intensity=logged).open(scans)
    roomy.stack()
    small = ImageLoader(shape=(3, 3, 3), memory=2 * 27 * 4).open(scans)
    small.stack()
    info = cache_info()
    assert (info["images"], info["nbytes"]) == (4 + 2, 4 * NBYTES + 2 * 27 * 4)
    roomy.stack()
    assert logged.count == 4


def test_image_cache_when_anything_is_put_keeps_every_bound():
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    puts = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 30), st.sampled_from([0, 40, 80, 200])))

    @hypothesis.settings(deadline=None, max_examples=100, derandomize=True, database=None)
    @hypothesis.given(puts)
    def check(puts):
        cache, sizes = ImageCache(), {}
        for key, n_values, bound in puts:
            cache.put(str(key), decoded(n_values), bound)
            if 4 * n_values <= bound:
                sizes[str(key)] = n_values, bound
                assert cache.get(str(key)) is not None
            kept = {k: (n, b) for k, (n, b) in sizes.items() if cache.get(k) is not None}
            assert all(cache.get(k).image.size == n for k, (n, _) in kept.items())
            for limit in (40, 80, 200):
                assert sum(4 * n for n, b in kept.values() if b <= limit) <= limit
            assert cache.nbytes == sum(4 * n for n, _ in kept.values())

    check()


def test_image_cache_when_bounds_differ_keeps_each():
    cache = ImageCache()
    for i in range(10):
        cache.put(f"large {i}", decoded(100), 4000)
    for i in range(10):
        cache.put(f"small {i}", decoded(10), 80)
    assert [i for i in range(10) if cache.get(f"small {i}")] == [8, 9]
    assert [i for i in range(10) if cache.get(f"large {i}")] == list(range(1, 10))  # one made room for two
    assert cache.nbytes == 9 * 400 + 2 * 40
    cache.put("large", decoded(990), 4000)
    assert cache.get("large") is not None
    assert cache.nbytes <= 4000
    cache.put("too large", decoded(1001), 4000)
    assert cache.get("too large") is None


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
@pytest.mark.parametrize("opened", ["in the worker", "before it began"])
def test_memory_when_auto_is_shared_by_worker_processes(scans, backend, opened):
    images = scans if opened == "in the worker" else ImageLoader().open(scans)
    if opened != "in the worker":
        assert images.fits_in_memory
    with joblib.parallel_config(backend):
        shares = joblib.Parallel(n_jobs=3)(joblib.delayed(memory_of_a_worker)(images) for _ in range(6))
    assert {machine_memory() // 4 // 3} == set(shares) or max(shares) < machine_memory() // 4 // 2


def memory_of_a_worker(images):
    time.sleep(0.2)  # until the others have started
    source = images if hasattr(images, "spec") else ImageLoader().open(images)
    return source._store.memory


def test_clear_cache_when_called_forgets_images_and_counts(scans):
    ImageLoader().open(scans).stack()
    clear_cache()
    assert cache_info() == {"images": 0, "nbytes": 0, "hits": 0, "decoded": 0}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_cache_when_forked_under_a_lock_is_free_in_the_child():
    before = "from skhyperfusion.images._cache._memory import CACHE; CACHE._lock.acquire()"
    assert run_forking(before, "os._exit(0 if CACHE._lock.acquire(timeout=2) else 1)").returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("in_the_middle", [True, False])
def test_cache_when_forked_in_the_middle_of_a_change_is_emptied_in_the_child_alone(in_the_middle):
    done = run_forking(
        """
        import sys, numpy as np
        from skhyperfusion.images._cache._memory import CACHE
        from skhyperfusion.images._formats._raw import RawHeader
        from skhyperfusion.images._voxels._recipe import Decoded
        header = RawHeader((2, 2), None, 'f')
        CACHE.put('a', Decoded(np.ones((1, 1, 2, 2), 'f4'), header, False), 1000)
        in_the_middle = sys.argv[1] == 'True'
        if in_the_middle:
            CACHE._lock.acquire(); kept = CACHE._images.pop(1000)
        """,
        "os._exit(0 if (CACHE.get('a') is None) == in_the_middle else 1)",
        """
        if in_the_middle:
            CACHE._images[1000] = kept; CACHE._lock.release()
        assert CACHE.get('a') is not None
        """,
        [in_the_middle],
    )
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_disk_when_forked_under_a_claim_is_free_in_the_child_and_after_the_parent(tmp_path):
    """A child that is forked while another thread decodes reads the same image, and holds no claim."""
    done = run_forking(
        """
        import sys, time
        from skhyperfusion import _files
        from skhyperfusion.images._cache import _disk
        cache = _disk.DiskCache(sys.argv[1]); cache.create()
        _disk._WAIT = 2
        claim = cache.claim('ab' * 32); claim.__enter__(); _disk._lock.acquire()
        """,
        """
        free = _disk._lock.acquire(timeout=2)
        time.sleep(5)
        os._exit(0 if free and not _files._held else 1)
        """,
        """
        claim.__exit__(None, None, None)
        descriptor = cache._open_lock(_disk._lock_name('ab' * 32))
        assert _disk._wait_for(descriptor, 0), 'the child has kept the claim'
        """,
        [tmp_path],
    )
    assert done.returncode == 0


# -- identity --------------------------------------------------------------------------------------------


class Scaled:
    """An intensity rule that holds a function."""

    def __init__(self, function):
        self.function = function

    def __call__(self, voxels):
        return self.function(voxels)


RULES = {
    "objects that hold a lambda": (Scaled(lambda v: v * 2), Scaled(lambda v: v * 3)),
    "partials with a lambda": tuple(
        functools.partial(lambda v, by: by(v), by=by) for by in (lambda v: v * 2, lambda v: v * 3)
    ),
    "objects that hold a lock": tuple(
        Scaled(functools.partial(lambda v, n, lock: v * n, n=n, lock=threading.Lock())) for n in (2, 3)
    ),
}


@pytest.mark.filterwarnings("ignore:The function given as ImageLoader")
@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("rules", RULES)
def test_images_when_rules_differ_are_never_shared(scans, tmp_path, rules, on_disk):
    cache_dir = tmp_path / "cache" if on_disk else None
    plain = ImageLoader(intensity=None).open(scans).stack()
    for rule, factor in zip(RULES[rules], (2, 3), strict=True):
        stack = ImageLoader(intensity=rule, cache_dir=cache_dir).open(scans).stack()
        np.testing.assert_array_equal(stack, factor * plain)


FACTOR = 2.0


def times_factor(voxels):
    return voxels * FACTOR


@pytest.mark.parametrize("on_disk", [False, True])
def test_images_when_a_rule_reads_a_changed_global_are_made_anew(scans, tmp_path, monkeypatch, on_disk):
    loader = ImageLoader(intensity=times_factor, cache_dir=tmp_path / "cache" if on_disk else None)
    before = loader.open(scans).stack()
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    np.testing.assert_array_equal(loader.open(scans).stack(), 2 * before)


def test_images_when_a_rule_cannot_be_known_are_kept_for_one_source_and_not_written(scans, tmp_path, logged):
    logged.lock = threading.Lock()
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache", memory=1 << 20)
    with pytest.warns(UserWarning, match=r"cannot be pickled.*not written to cache_dir") as caught:
        source = loader.open(scans)
    assert len(caught) == 1
    source.stack()
    source.view([0, 1]).stack()
    assert logged.count == 4
    assert cache_info(tmp_path / "cache")["disk_images"] == 0
    with pytest.warns(UserWarning, match="cannot be pickled"):
        loader.open(scans).stack()
    assert logged.count == 8


def test_images_when_packed_voxels_of_a_pair_change_are_made_anew(load, volume, tmp_path):
    for factor in (1, 3):
        nib.save(nib.Nifti1Pair(factor * volume, np.eye(4)), tmp_path / "scan.img")
        (tmp_path / "scan.img.gz").write_bytes(gzip.compress((tmp_path / "scan.img").read_bytes()))
        (tmp_path / "scan.img").unlink()
        os.utime(tmp_path / "scan.hdr", ns=(1, 1))
        np.testing.assert_array_equal(load(tmp_path / "scan.hdr", intensity=None)[0, 0, 0], factor * volume)


def test_images_when_a_file_deep_in_a_folder_changes_are_made_anew(load, volume, tmp_path, own_suffix):
    register_reader(own_suffix, lambda path: np.load(os.path.join(path, "0", "chunk.npy")))
    (tmp_path / "scan.own" / "0").mkdir(parents=True)
    (tmp_path / "scan.own" / "link").symlink_to("nowhere")
    for factor in (1, 3):
        np.save(tmp_path / "scan.own" / "0" / "chunk.npy", factor * volume)
        os.utime(tmp_path / "scan.own" / "0" / "chunk.npy", ns=(factor, factor))
        np.testing.assert_array_equal(load(tmp_path / "scan.own", intensity=None)[0, 0, 0], factor * volume)


@pytest.mark.parametrize("changed", [".img", ".hdr"])
def test_images_when_one_file_of_a_pair_changes_are_made_anew(as_column, volume, tmp_path, changed):
    path = tmp_path / "scan.img"
    nib.save(nib.Nifti1Pair(volume, np.eye(4)), path)
    other = nib.Nifti1Pair(volume * 3 if changed == ".img" else volume, np.diag([2.0, 2, 2, 1]))
    loader = ImageLoader(intensity=None, orientation=None)
    before = loader.open(as_column(str(path)))
    before.stack()
    nib.save(other, tmp_path / "new.img")
    os.replace(tmp_path / f"new{changed}", path.with_suffix(changed))
    after = loader.open(as_column(str(path)))
    if changed == ".hdr":
        assert (before.spec.spacing, after.spec.spacing) == ((1, 1, 1), (2, 2, 2))
    else:
        np.testing.assert_array_equal(after.stack(), 3 * volume[None, None, None])


# -- disk ------------------------------------------------------------------------------------------------


def test_disk_when_read_again_gives_the_same_and_decodes_once(scans, logged, tmp_path):
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache")
    first = loader.open(scans).stack()
    clear_cache()  # as another process would begin
    source = loader.open(scans)
    np.testing.assert_array_equal(source.stack(), first)
    np.testing.assert_array_equal(source.read([2]), first[[2]])
    assert logged.count == 4
    info = cache_info(tmp_path / "cache")
    assert info["disk_images"] == 4
    assert 4 * NBYTES < info["disk_nbytes"] < 4 * NBYTES + 4000


def test_disk_when_memory_is_auto_keeps_nothing_in_memory(scans, tmp_path):
    source = ImageLoader(cache_dir=tmp_path).open(scans)
    source.stack()
    assert not source.fits_in_memory
    assert cache_info()["images"] == 0
    ImageLoader(cache_dir=tmp_path, memory=1 << 20).open(scans).stack()
    assert cache_info()["images"] == 4
    kept = [one.image for images in CACHE._images.values() for one in images.values()]
    assert not any(isinstance(image, np.memmap) for image in kept)


def test_disk_when_file_or_parameters_change_decodes_anew(scans, save_nifti, volume, logged, tmp_path):
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache")
    loader.open(scans).stack()
    save_nifti(volume * 2, "0.nii.gz")
    loader.open(scans).stack()
    assert logged.count == 5
    loader.set_params(shape=(3, 3, 3)).open(scans).stack()
    assert logged.count == 9


def test_disk_when_created_is_private(scans, tmp_path):
    ImageLoader(cache_dir=tmp_path / "a" / "cache").open(scans).stack()
    assert (tmp_path / "a" / "cache").stat().st_mode & 0o777 == 0o700
    inside = tmp_path / "a" / "cache" / disk.FOLDER
    assert inside.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in inside.rglob("*")} == {0}


def test_disk_when_folder_exists_leaves_its_mode_and_files(scans, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o755)
    (mine / "thesis.txt").write_text("chapter one")
    ImageLoader(cache_dir=mine).open(scans).stack()
    clear_cache(mine)
    assert mine.stat().st_mode & 0o777 == 0o755
    assert (mine / "thesis.txt").read_text() == "chapter one"
    assert cache_info(mine)["disk_images"] == 0
    assert (mine / disk.FOLDER).stat().st_mode & 0o777 == 0o700


def test_disk_when_files_are_listed_are_plain_arrays(scans, tmp_path):
    stack = ImageLoader(cache_dir=tmp_path).open(scans).stack()
    arrays = [np.load(path, allow_pickle=False) for path in sorted((tmp_path / disk.FOLDER).glob("*/*.npy"))]
    assert {array.tobytes() for array in arrays} == {image.tobytes() for image in stack}


def cached_files(folder):
    return sorted((folder / disk.FOLDER).glob("*/*.npy"))


@pytest.mark.parametrize("n_bytes", [0, 5, 100, -1, -12, -200])
def test_disk_when_a_file_is_truncated_rebuilds_it(scans, logged, tmp_path, n_bytes):
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache")
    first = loader.open(scans).stack()
    path = cached_files(tmp_path / "cache")[0]
    content = path.read_bytes()
    path.write_bytes(content[:n_bytes] if n_bytes else b"")
    np.testing.assert_array_equal(loader.open(scans).stack(), first)
    assert logged.count == 5
    assert path.read_bytes() == content


@pytest.mark.parametrize("junk", [b"\0" * 3000, b"\x93NUMPY\x01\x00v\x00{" + b"x" * 200])
def test_disk_when_a_file_is_junk_rebuilds_it(scans, logged, tmp_path, junk):
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache")
    first = loader.open(scans).stack()
    cached_files(tmp_path / "cache")[0].write_bytes(junk)
    np.testing.assert_array_equal(loader.open(scans).stack(), first)
    assert logged.count == 5


def test_disk_when_voxels_are_damaged_rebuilds_the_file(scans, logged, tmp_path):
    """The mark at the end is there, and the length is right: only the check sum tells."""
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache")
    first = loader.open(scans).stack()
    path = cached_files(tmp_path / "cache")[0]
    content = bytearray(path.read_bytes())
    content[200:208] = bytes(8)
    path.write_bytes(content)
    disk._sound.clear()  # as another process would begin
    np.testing.assert_array_equal(loader.open(scans).stack(), first)
    assert logged.count == 5


def test_disk_when_too_many_files_are_open_keeps_the_image(scans, logged, tmp_path, monkeypatch):
    source = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache").open(scans)
    expected = source.stack()
    kept = cached_files(tmp_path / "cache")[0]
    count = logged.count

    def out_of_files(path, *args):
        if str(path) == str(kept):
            raise OSError(errno.EMFILE, "Too many open files")
        return open(path, *args)

    monkeypatch.setattr(disk, "open", out_of_files, raising=False)
    monkeypatch.setattr(disk.DiskCache, "save", lambda *_: None)  # nothing can be written then either
    np.testing.assert_array_equal(source.stack(), expected)
    assert logged.count == count + 1
    monkeypatch.undo()
    np.testing.assert_array_equal(source.stack(), expected)
    assert logged.count == count + 1


def test_disk_when_the_folder_is_deleted_meanwhile_is_made_again_and_private(scans, tmp_path):
    source = ImageLoader(cache_dir=tmp_path / "cache").open(scans)
    first = source.read([0])
    shutil.rmtree(tmp_path / "cache")
    np.testing.assert_array_equal(source.stack()[[0]], first)
    inside = tmp_path / "cache" / disk.FOLDER
    assert {path.stat().st_mode & 0o077 for path in (inside, *inside.rglob("*"))} == {0}
    assert len(cached_files(tmp_path / "cache")) == 4


def test_disk_when_a_temporary_file_has_no_living_writer_is_swept(scans, tmp_path):
    loader = ImageLoader(cache_dir=tmp_path)
    loader.open(scans)
    (dead, alive) = (tmp_path / disk.FOLDER / "tmp" / f"x-{n}.tmp" for n in ("007", "008"))
    dead.touch()
    alive.touch()
    with disk.DiskCache(tmp_path).claim(f"{8:08x}"):
        loader.open(scans)
        assert (dead.exists(), alive.exists()) == (False, True)
    loader.open(scans)
    assert not alive.exists()


def test_claim_when_its_holder_is_stopped_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "_WAIT", 0.05)
    store = disk.DiskCache(tmp_path)
    with store.claim("ab" * 32):
        began = time.monotonic()
        with store.claim("ab" * 32):
            assert 0.04 < time.monotonic() - began < 5


def test_disk_when_full_warns_once_and_goes_on(scans, tmp_path, monkeypatch):
    def write(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "_write", write)
    loader = ImageLoader(cache_dir=tmp_path)
    with pytest.warns(UserWarning, match=r"cannot be written to .*No space left.*Make room") as caught:
        first = loader.open(scans).stack()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(loader.open(scans).stack(), first)
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    clear_cache(tmp_path)  # room was made
    loader.open(scans).stack()
    assert cache_info(tmp_path)["disk_images"] == 4


@pytest.mark.skipif(os.name != "posix" or not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_disk_when_the_device_is_full_leaves_no_file(scans, tmp_path, monkeypatch):
    def full(suffix, dir):
        descriptor, path = tempfile_mkstemp(suffix=suffix, dir=dir)
        os.close(descriptor)
        return os.open("/dev/full", os.O_WRONLY), path

    tempfile_mkstemp = disk.tempfile.mkstemp
    monkeypatch.setattr(disk.tempfile, "mkstemp", full)
    with pytest.warns(UserWarning, match="cannot be written"):
        ImageLoader(cache_dir=tmp_path).open(scans).stack()
    assert cached_files(tmp_path) == []
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_disk_when_folder_cannot_be_made_is_an_error(scans, tmp_path, where):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cache_dir=.*cannot be made a private folder.*Name a folder"):
        ImageLoader(cache_dir=tmp_path / where).open(scans)


@pytest.mark.slow
def test_disk_when_a_writer_is_killed_leaves_no_image(scans, logged, tmp_path):
    """A process is killed in the middle of writing; the next one decodes, and the rest is swept."""
    cache = tmp_path / "cache"
    code = (
        "import os, sys, numpy as np\n"
        "from skhyperfusion.images._cache import _disk\n"
        "from skhyperfusion.images._voxels._recipe import Decoded\n"
        "from skhyperfusion.images._formats._raw import RawHeader\n"
        "def write(file, decoded):\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)\n"
        "_disk._write = write\n"
        "cache = _disk.DiskCache(sys.argv[1]); cache.create()\n"
        "with cache.claim('ab' * 32):\n"
        "    cache.save('ab' * 32, Decoded(np.zeros((1, 1, 2, 2), np.float32), RawHeader((2, 2)), False))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(cache)], check=False).returncode == -9
    (orphan,) = cache.rglob("*.tmp")
    store = disk.DiskCache(cache)
    with store.claim("ab" * 32):  # the lock went with the process
        assert store.load("ab" * 32) is None
    first = ImageLoader(intensity=logged, cache_dir=cache).open(scans).stack()
    assert not orphan.exists()  # the next run has swept it
    np.testing.assert_array_equal(ImageLoader(intensity=logged, cache_dir=cache).open(scans).stack(), first)
    assert logged.count == 4


def stack_in_another_process(loader, frame):
    return loader.open(frame).stack()


@pytest.mark.slow
def test_disk_when_two_processes_ask_decodes_once_in_all(scans, logged, tmp_path):
    loader = ImageLoader(intensity=logged, cache_dir=tmp_path / "cache")
    stacks = joblib.Parallel(n_jobs=2)(
        joblib.delayed(stack_in_another_process)(loader, scans) for _ in range(6)
    )
    assert logged.count == 4
    for stack in stacks:
        np.testing.assert_array_equal(stack, stacks[0])
    clear_cache()
    loader.open(scans).stack()  # a second run
    assert logged.count == 4


def test_disk_when_reader_has_no_header_opens_without_decoding(tmp_path, as_column, volume):
    from skhyperfusion._table import _suffixes
    from skhyperfusion.images import register_reader
    from skhyperfusion.images._formats import _readers

    log = Logged(tmp_path / "log")
    try:
        register_reader(".slow", lambda path: log_decoding(str(tmp_path / "log"), volume))
        (tmp_path / "a.slow").touch()
        loader = ImageLoader(cache_dir=tmp_path / "cache")
        for _ in range(2):
            assert loader.open(as_column(tmp_path / "a.slow")).spec.shape == (6, 8, 10)
            clear_cache()
        assert log.count == 1
    finally:
        _readers._readers.pop(".slow", None)
        _suffixes._registered.discard(".slow")


@pytest.mark.parametrize("on_disk", [False, True])
def test_images_when_a_reader_or_its_header_is_replaced_are_read_anew(tmp_path, as_column, on_disk):
    from skhyperfusion._table import _suffixes
    from skhyperfusion.images import register_reader
    from skhyperfusion.images._formats import _readers

    lock = threading.Lock()  # such a reader cannot be told from others
    (tmp_path / "a.mine").touch()
    loader = ImageLoader(intensity=None, cache_dir=tmp_path / "cache" if on_disk else None)
    try:
        for n, header in ((1, None), (2, None), (2, lambda path: (5, 6, 7)), (3, lambda path: (6, 5, 7))):
            shape = (5, 6, 7) if header is None else header("")
            for held in (None, lock):

                def reader(path, n=n, shape=shape, held=held):
                    return np.full(shape, n, np.float32)

                register_reader(".mine", reader, header=header)
                stack = loader.open(as_column(tmp_path / "a.mine")).stack()
                np.testing.assert_array_equal(stack, np.full((1, 1, 1, *shape), n))
    finally:
        _readers._readers.pop(".mine", None)
        _suffixes._registered.discard(".mine")
    if on_disk:
        assert cache_info(tmp_path / "cache")["disk_images"] == 4

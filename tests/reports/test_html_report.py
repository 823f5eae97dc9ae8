"""Report of an evaluation, opened in a browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from mmproscale.evaluation.panoptic_quality import Segments
from mmproscale.reports.compared_image import ComparedImage, compare
from mmproscale.reports.html_report import HTMLReport, write_report

CATEGORIES = [
    {"id": 7, "name": "car</script>", "isthing": 1},
    {"id": 3, "name": "road", "isthing": 0},
]
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
# What a reader does, in the page itself; the result is left in the document.
ACTIONS = """
<pre id="result"></pre><script>
const until = async (done) => { while (!done()) await new Promise((go) => setTimeout(go, 20)); };
(async () => {
  const cards = () => [...document.querySelectorAll("#images figure")];
  const names = () => cards().map((card) => card.querySelector("span").textContent);
  const canvas = () => cards()[0].querySelector("canvas");
  const found = {};
  await until(() => canvas().dataset.layer);
  const pq = (card) => Number(card.querySelector("span + span").textContent.slice(3));
  const pqs = () => cards().map(pq);
  found.worst = pqs();
  const choose = (id, value) => {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event("change"));
  };
  choose("sort", "best");
  found.best = pqs();
  choose("filter", "1");
  found.roads = names().length;
  found.count = document.getElementById("count").textContent;
  choose("filter", "");
  choose("sort", "name");
  const pixel = () => [...canvas().getContext("2d").getImageData(40, 40, 1, 1).data].slice(0, 3);
  found.colors = {};
  for (const key of ["1", "2", "3", "4"]) {
    const before = canvas().dataset.layer;
    document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await until(() => canvas().dataset.layer !== before || key === "3");
    await new Promise((go) => setTimeout(go, 100));
    found.colors[canvas().dataset.layer] = pixel();
  }
  const box = canvas().getBoundingClientRect();
  const [clientX, clientY] = [box.left + box.width / 2, box.top + box.height / 2];
  const at = { clientX, clientY, bubbles: true };
  canvas().dispatchEvent(new PointerEvent("pointermove", at));
  found.tip = document.getElementById("tip").textContent;
  canvas().dispatchEvent(new PointerEvent("pointerleave"));
  found.tipHidden = document.getElementById("tip").hidden;
  cards()[0].focus();
  cards()[0].dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  found.enlarged = document.getElementById("large").open;
  document.querySelector("#classes tbody tr").click();
  found.ofClass = document.getElementById("count").textContent;
  document.getElementById("result").textContent = JSON.stringify(found);
})();
</script>
"""


def image(folder, number, right, score=0.5):
    """Return an image with a car on a road, of which the prediction has a part right."""
    photo = folder / f"{number:03d}.jpg"
    Image.new("RGB", (80, 80), (120, 120, 120)).save(photo)
    truth = np.full((80, 80), 2, np.int32)
    truth[20:60, 20:60] = 1
    found = truth.copy()
    found[:, : 80 - round(80 * right)] = 0
    predicted_ids = [int(n) for n in np.unique(found) if n]
    if number % 2:  # no road
        truth[truth == 2] = 0
        found[found == 2] = 0
        predicted_ids = [n for n in predicted_ids if n == 1]
    prediction = found, segments(found, predicted_ids), [score] * len(predicted_ids)
    true = segments(truth, [n for n in (1, 2) if (truth == n).any()])
    compared = compare(truth, true, prediction, CATEGORIES)
    return ComparedImage(photo.name, photo, truth, true, [compared])


def segments(id_map, ids):
    areas = [(id_map == number).sum() for number in ids]
    arrays = (np.array(values, np.int64) for values in (ids, [n - 1 for n in ids], areas))
    return Segments(*arrays, np.zeros(len(ids), bool))


def in_browser(page, folder):
    """Return what ACTIONS found in a page."""
    file = folder / "acted.html"
    file.write_text(page.read_text().replace("</body>", f"{ACTIONS}</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"]
    budget = "--virtual-time-budget=30000"
    command = [BROWSER, *options, f"--user-data-dir={folder}", budget, "--dump-dom", file.as_uri()]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    result = re.search(r'<pre id="result">(.+?)</pre>', shown)
    assert result, shown[-2000:]
    return json.loads(result.group(1).replace("&gt;", ">").replace("&lt;", "<"))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs a browser: Debian's package chromium")
def test_a_reader_sorts_filters_toggles_and_hovers(tmp_path):
    images = [image(tmp_path, n, right=0.5 + n / 200) for n in range(100)]
    page = tmp_path / "report.html"
    write_report(page, "Streets", ["small"], CATEGORIES, images)
    found = in_browser(page, tmp_path)
    pqs = sorted(round(100 * one.predictions[0].pq, 1) for one in images)
    assert found["worst"] == pqs and found["best"] == pqs[::-1]
    assert found["roads"] == 50 and found["count"] == "50 of 100 images"
    colors = found["colors"]
    assert list(colors) == ["image", "ground truth", "small", "difference"]
    assert colors["image"] != colors["ground truth"] and colors["difference"] != colors["small"]
    assert colors["difference"][1] > colors["difference"][0]  # green: the class is right
    assert "truth: car</script>, missed, IoU 50%" in found["tip"] and "score 0.50" in found["tip"]
    assert found["tipHidden"] and found["enlarged"]
    assert found["ofClass"].endswith("of 100 images")


def test_figures_are_those_of_the_evaluation(tmp_path):
    report = HTMLReport("Streets", ["small"], CATEGORIES)
    report.add(image(tmp_path, 0, right=1.0))
    report.add(image(tmp_path, 1, right=0.2))
    data = json.loads(json.dumps(report.data(), allow_nan=False))
    (model,) = data["models"]
    assert model["groups"]["all"]["pq"] == pytest.approx((100 + 200 / 3) / 2, abs=0.01)
    assert model["classes"][0]["tp"] == 1 and model["classes"][0]["fn"] == 1
    assert model["confusion"][0] == [1, 0, 0, 0, 1] and model["sizes"]["small"] is None
    assert [one["predictions"][0]["pq"] for one in data["images"]] == [100.0, 0.0]


def test_an_image_without_segments_has_no_figure(tmp_path):
    empty = image(tmp_path, 1, right=0.0)
    empty.id_map[:] = 0
    report = HTMLReport("Streets", ["small"], CATEGORIES)
    nothing = segments(empty.id_map, [])
    compared = compare(empty.id_map, nothing, (empty.id_map, nothing, []), CATEGORIES)
    report.add(ComparedImage(empty.name, empty.photo, empty.id_map, nothing, [compared]))
    assert report.data()["images"][0]["predictions"][0]["pq"] is None
    report.write(tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 60_000

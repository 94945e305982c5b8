"""The command on real files: all that they say besides their pixels is said by the results."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from skbgopt import read_image
from skbgopt.io._cards import is_structural
from skbgopt.io._convert import fits_header
from tests.cli.command import FAST, run
from tests.real_data.test_real_skies import DATA, FILES

pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="real images are not in ../shared/data"),
    pytest.mark.filterwarnings("ignore:.*cannot hold the XISF properties"),
]


def cards(metadata):
    """Those that a FITS file of an image has, but for the storage of the pixels, blank ones and ours."""
    header, ours_began = fits.Header(), False
    for card in fits_header(metadata).cards:
        # Our lines of history follow the others.
        ours_began = ours_began or (card.keyword == "HISTORY" and str(card.value).startswith("skbgopt "))
        ours = card.keyword.startswith("BG") or (card.keyword == "HISTORY" and ours_began)
        if card.keyword and not ours and not is_structural(card.keyword):
            header.append(card, end=True)
    return header


@pytest.mark.parametrize(
    ("name", "file_format"),
    [*((name, None) for name in FILES), (FILES[0], "fits"), (FILES[2], "xisf"), (FILES[5], "tiff"), (FILES[4], "fits")],
)
def test_the_results_say_what_the_input_says(tmp_path, name, file_format):
    """Cards in order with their comments, the coordinates of the corners, colours of a mosaic, properties."""
    run(
        "remove", DATA / name, tmp_path, *FAST, "-dx", "16", *([] if file_format is None else ["--format", file_format])
    )
    before, metadata = read_image(DATA / name)
    results = sorted(tmp_path.iterdir())
    assert len(results) == 2
    for path in results:
        after, metadata_after = read_image(path)
        assert after.shape == before.shape and after.dtype == "f4"
        diff = fits.HeaderDiff(cards(metadata), cards(metadata_after), rtol=0)
        assert diff.identical, diff.report()
        assert metadata_after.bayer_pattern == metadata.bayer_pattern
        assert metadata_after.layout == metadata.layout or file_format is not None
        rows, columns = np.meshgrid([0, before.shape[0] - 1], [0, before.shape[1] - 1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            was, now = (WCS(fits_header(each)).celestial for each in (metadata, metadata_after))
        if was.naxis == 2:
            np.testing.assert_array_equal(was.all_pix2world(columns, rows, 0), now.all_pix2world(columns, rows, 0))

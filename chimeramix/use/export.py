"""`chimeramix export`: a finished classifier for use without its run."""

import logging

from chimeramix.errors import UserError
from chimeramix.files import made_beside
from chimeramix.runs.classifier import is_exported, load_classifier, read_run
from chimeramix.use.hub import save_hub
from chimeramix.use.onnx_file import check_installed, save_onnx
from chimeramix.use.options import ExportOptions
from chimeramix.use.program import compare, program_of, save_pt2

log = logging.getLogger(__name__)


def export(options: ExportOptions) -> None:
    """Writes one of `chimeramix.use.options.EXPORTS`, after it was compared with the run.

    Raises:
        UserError: for what is no finished classifier, and for an output that is there already.
        RunFailure: for a model that can't be exported, a missing package, and a file that can't be written.
    """
    options.check()
    if options.form == "onnx":
        check_installed()
    if options.form == "hub":
        _export_folder(options)
    else:
        _export_program(options)


def _export_folder(options: ExportOptions) -> None:
    if options.target.exists() and not is_exported(options.target):
        raise UserError(f"{options.target} is a folder of something else: choose another --out")
    run = read_run(options.run)
    with made_beside(options.target) as folder:
        save_hub(options.run, folder, *run)
    log.info("written: %s, which loads as the run's classifier, to the bit", options.target)


def _export_program(options: ExportOptions) -> None:
    classifier = load_classifier(options.run)
    program = program_of(classifier, options.size)
    with made_beside(options.target) as path:
        if options.form == "onnx":
            made = save_onnx(program, classifier, path, options.size)
        else:
            made = save_pt2(program, classifier, path)
        difference = compare(made, classifier, options.size)
    log.info("written: %s, its logits are the run's (largest difference %.1g)", options.target, difference)

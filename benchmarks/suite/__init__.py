"""The suite for asv: every public function and every compiled operation, timed from commit to commit."""

"""The story it all started from: a hundred predictions, a flaky model server, one that fails."""

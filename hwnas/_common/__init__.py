"""What every room stands on: texts, files, seeds, hash chains, plug-ins, and guards around the code of other people."""

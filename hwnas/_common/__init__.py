"""What every room stands on: texts, seeds, hash chains, plug-ins, and guards around the code of other people."""

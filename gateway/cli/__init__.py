"""The `keyferry` command: what an operator types, and what it answers.

What a command needs to be explained is light; what it needs to run (`running`, `serving`,
`store`, `tenant`) is imported when it runs, so that `--help` answers at once.
"""

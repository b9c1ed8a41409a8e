"""`keyferry verify`: why a token plays or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from gateway.cli.admin import data_option, found
from gateway.cli.options import output_option, read_id
from gateway.cli.output import show

if TYPE_CHECKING:
    from gateway.cli.output import Entry
    from gateway.cli.question import Question
    from gateway.cli.store import Store


class _Question(click.Command):
    """Ends with 2 when the question could not be asked, which a refusal's 1 does not say."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.show()
            raise click.exceptions.Exit(2) from error


@click.command(cls=_Question)
@click.argument("tokens", metavar="[TOKEN]", nargs=-1)
@click.option("--account", "account_id", type=read_id, required=True, help="Whose token it is.")
@click.option("--url", help="What is played, or its path; a token in it is found as edges do.")
@click.option(
    "--prefix",
    "prefixes",
    multiple=True,
    metavar="PATH",
    help="What stands before the id in the URL, such as /vod; can be repeated.",
)
@click.option("--subject", help="What is played; the token's own subject by default.")
@click.option("--ip", help="The viewer's address, for access rules.")
@click.option("--country", help="The viewer's country, two letters, for access rules.")
@click.option("--download", is_flag=True, help="Ask about a download.")
@click.option("--explain", is_flag=True, help="List every check, and what would make it play.")
@click.option("--batch", metavar="FILE", help="Judge the token on each line, and sum up.")
@data_option
@output_option
def verify(
    data: Path | None, output: str, account_id: UUID, *, explain: bool, **options: Any
) -> None:
    """Say whether a playback token may play now, and why.

    Exits with 0 if it plays (with --batch: if all do), with 1 if not, and with 2 if that could
    not be asked. TOKEN and FILE can be - for standard input, which keeps tokens out of the
    shell's history.

    \b
      keyferry verify eyJhbGciOi... --account ACCOUNT --subject my-video
      keyferry verify - --account ACCOUNT --explain < token.txt
      keyferry verify --url 'https://media.example.com/my-video/index.m3u8?jwt=eyJ...' \\
          --account ACCOUNT --ip 203.0.113.9
      keyferry verify --batch tokens.txt --account ACCOUNT
    """
    from gateway.cli.question import Options, read_question  # noqa: PLC0415  all this is heavy
    from gateway.cli.store import work_in  # noqa: PLC0415

    question = read_question(account_id, Options(**options))
    if explain and question.batch is not None:
        raise click.UsageError("--explain is for one token, and --batch for many.")
    document = work_in(data, lambda store: _answer(store, question, explain=explain))
    if explain and output == "text":
        from gateway.cli.explained import explained_text  # noqa: PLC0415

        click.echo(explained_text(document))
    else:
        show(document, output)
    if document["refused"] if question.batch is not None else not document["allowed"]:
        click.get_current_context().exit(1)


async def _answer(store: Store, question: Question, *, explain: bool) -> Entry:
    from gateway.cli.documents import verdict_document  # noqa: PLC0415
    from gateway.cli.explained import explained_document  # noqa: PLC0415

    with found(f"account {question.account_id}"):
        await store.accounts.get(question.account_id)
    if question.batch is not None:
        return await _sum_up(store, question, question.batch)
    asked = (question.account_id, question.token, question.facts)
    if explain:
        return explained_document(await store.explain(*asked))
    return verdict_document((await store.explainer.explain(*asked)).verdict)


async def _sum_up(store: Store, question: Question, file: str) -> Entry:
    from gateway.cli.batch import judge_lines, read_lines  # noqa: PLC0415

    summary = await judge_lines(
        read_lines(file),
        lambda token: store.verifier.verify(question.account_id, token, question.facts),
    )
    document = summary.document()
    if not document["tokens"]:
        raise click.ClickException(f"there is no token in {file}")
    return document

"""Django beside resetd: its flush and its Collector, on a schema that is given.

usage: flush.py PORT ROLE DATABASE TABLES, where TABLES is JSON, a list of
[name, [[column, parent], ...]]. It says "ready VERSION", reads a command from
each line, does it, and answers how many milliseconds it took:

    flush               manage.py flush, as its test cases call it
    one ID              user.delete()
    domains NAME ...    User.objects.filter(...).delete()
"""

import json
import sys
import time
import types

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connection, models


def prepare(port, role, database):
    """Settings, and an application that no file is needed for."""
    application = types.ModuleType("shop")
    application.__path__ = [sys.path[0]]
    sys.modules["shop"] = application
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": "127.0.0.1",
                "PORT": port,
                "USER": role,
                "NAME": database,
            }
        },
        INSTALLED_APPS=["shop"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def declare(tables):
    """A model for each table; references that come before their table by name."""
    for name, references in tables:
        meta = type("Meta", (), {"app_label": "shop", "db_table": name})
        fields = {"__module__": "shop", "Meta": meta}
        if name == "users":
            fields["email"] = models.TextField()
        for column, parent in references:
            fields[column.removesuffix("_id")] = models.ForeignKey(
                f"shop.{parent}",
                models.CASCADE,
                db_column=column,
                # Of references to users and theirs the order of deletion
                # follows; a cycle of tables has none.
                null=column == "parent",
                related_name="+",
            )
        type(name, (models.Model,), fields)


def work(command, arguments):
    users = django.apps.apps.get_model("shop", "users").objects
    if command == "flush":
        call_command("flush", interactive=False, verbosity=0)
    elif command == "one":
        users.get(pk=arguments[0]).delete()
    elif command == "domains":
        chosen = models.Q()
        for domain in arguments:
            chosen |= models.Q(email__endswith="@" + domain)
        users.filter(chosen).delete()
    else:
        raise SystemExit(f"no such command: {command}")


def main():
    port, role, database, tables = sys.argv[1:]
    prepare(port, role, database)
    declare(json.loads(tables))
    connection.ensure_connection()
    print("ready", django.get_version(), flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        begun = time.perf_counter()
        work(command, arguments)
        print((time.perf_counter() - begun) * 1000, flush=True)


main()

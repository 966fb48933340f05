"""Makes the database of a shop that is not ours: Django's and django-oscar's
own tables, filled through their own models. Usage: shop.py DATABASE_FILE"""

import sys
from decimal import Decimal

import django
from django.conf import settings
from django.core.management import call_command
from oscar import defaults

OSCAR = """address analytics basket catalogue checkout communication customer offer order
partner payment search shipping voucher wishlists""".split()
DASHBOARD = """communications catalogue offers orders pages partners ranges reports reviews
shipping users vouchers""".split()
DJANGO = "admin auth contenttypes flatpages messages sessions sites staticfiles".split()

settings.configure(
    **{name: getattr(defaults, name) for name in dir(defaults) if name.startswith("OSCAR")},
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1],
                           "OPTIONS": {"init_command": "PRAGMA synchronous = OFF"}}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    HAYSTACK_CONNECTIONS={"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}},
    INSTALLED_APPS=[
        *(f"django.contrib.{app}" for app in DJANGO),
        "oscar.config.Shop",
        *(f"oscar.apps.{app}.apps.{app.capitalize()}Config" for app in OSCAR),
        "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
        "oscar.apps.dashboard.apps.DashboardConfig",
        *(f"oscar.apps.dashboard.{app}.apps.{app.capitalize()}DashboardConfig" for app in DASHBOARD),
        *("widget_tweaks haystack treebeard django_tables2".split()),
    ],
    SECRET_KEY="not a secret",
    SILENCED_SYSTEM_CHECKS=["admin.E403", "admin.E408", "admin.E409", "admin.E410"],
    SITE_ID=1,
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth.models import User  # noqa: E402
from oscar.core.loading import get_model  # noqa: E402

product_class = get_model("catalogue", "ProductClass").objects.create(name="Book")
Product = get_model("catalogue", "Product")
products = [
    Product.objects.create(title=f"Book {n}", upc=f"upc-{n}", product_class=product_class)
    for n in range(5)
]
partner = get_model("partner", "Partner").objects.create(name="Printer")
domains = ["test.com", "example.com", "reader.org"]
User.objects.create_superuser("boss", "boss@test.com", "secret")
for n in range(30):
    user = User.objects.create_user(f"user{n}", f"user{n}@{domains[n % 3]}", "secret")
    if n % 2 == 0:
        partner.users.add(user)
    order = get_model("order", "Order").objects.create(
        number=str(1000 + n), user=user, currency="EUR",
        total_incl_tax=Decimal(10), total_excl_tax=Decimal(8),
        shipping_incl_tax=Decimal(0), shipping_excl_tax=Decimal(0),
        basket=get_model("basket", "Basket").objects.create(owner=user),
    )
    get_model("order", "OrderNote").objects.create(order=order, user=user, message="hello")
    get_model("wishlists", "WishList").objects.create(owner=user)
    get_model("reviews", "ProductReview").objects.create(
        product=products[n % 5], user=user, score=3, title="fine", body="a book")

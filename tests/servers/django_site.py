# SPDX-License-Identifier: MIT OR Apache-2.0
#
# The smallest Django site with users, for the two servers that are Django applications.
import os
import subprocess
import sys

import django
from django.contrib import auth
from django.core.management import call_command

from common import EMAIL, PASSWORD, USER, start, wait_for


def make(folder, applications, urls, **settings):
    """Writes it, makes its database and its user; the models can be imported then."""
    (folder / "settings.py").write_text(f'''
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(folder / "db.sqlite3")!r}}}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [f"django.contrib.{{name}}" for name in ("admin", "auth", "contenttypes", "sessions", "messages")]
INSTALLED_APPS += {applications!r}
LOGIN_URL = "/admin/login/"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "urls"
SECRET_KEY = "of a server that lives for a minute"
CONTEXT = ["template.context_processors.request", "contrib.auth.context_processors.auth"]
CONTEXT += ["contrib.messages.context_processors.messages"]
TEMPLATES = [{{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {{"context_processors": [f"django.{{name}}" for name in CONTEXT]}},
}}]
USE_TZ = True
''' + "".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    (folder / "urls.py").write_text(f'''
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("admin/", admin.site.urls)]
{urls}
''')
    sys.path.insert(0, str(folder))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
    django.setup()
    call_command("migrate", verbosity=0)
    return auth.get_user_model().objects.create_superuser(USER, EMAIL, PASSWORD)


def serve(folder, port):
    command = [sys.executable, "-m", "django", "runserver", "--noreload", f"127.0.0.1:{port}"]
    server = start(command, PYTHONPATH=folder)
    wait_for(server, f"http://127.0.0.1:{port}/admin/login/")
    return server


def rsa_key():
    return subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True).stdout

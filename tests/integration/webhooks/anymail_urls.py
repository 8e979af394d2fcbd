"""The URLs of the Django in test_anymail.py."""

from django.urls import include, path

urlpatterns = [path("anymail/", include("anymail.urls"))]

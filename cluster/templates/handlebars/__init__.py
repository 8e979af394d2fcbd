"""Handlebars (https://handlebarsjs.com), as far as SendGrid's dynamic templates use it: read to a tree, compiled to
nodes of jinja2, run with a bounded amount of work. Pure."""

"""The page on which the API can be read and tried: Swagger UI over the OpenAPI document.

Swagger UI comes from an installed package, so the page needs no other site. The key that is typed there stays in the
page: it is sent to this API and is stored nowhere.
"""

"""The secrets and the invented personal data that the tests use. No output of any process may contain them."""

import json
from typing import Final

from deploy.local.stack import DEMO_KEY, DEMO_SECRET

NAME: Final = "Wilhelmina Plantagenet-Œuvre 张三丰"
EXTRA: Final = json.dumps({"name": NAME, "passport": "PLANTED-passport/4711+77"}, ensure_ascii=False)
PLANTED: Final = {
    "api_key": "PLANTED-api-key/1+é",
    "api_secret": "PLANTED-api-secret/2+=&ü",
    "an older api_secret": "PLANTED-old-secret/3+=&ü",
    "the password of Redis": "PLANTED-redis-password-4",
    "the name in biz_extra_data": NAME,
    "the passport in biz_extra_data": "PLANTED-passport/4711+77",
    "an image": "UExBTlRFRC9pbWFnZStub3QtYS1wZXJzb24vLy8rKys",
    "a field of data": "PLANTED-note-in-data <5> & more",
    "a field of the query": "PLANTED-session-in-the-query-6",
    "a field of a form": "PLANTED-field-in-a-form-7",
    "the data of a forged callback": "PLANTED-forged-data-8",
    "a secret in invalid settings": "PLANTED-broken-setting-9",
}
"""Values by name. The test of leaks puts each into a setting, a callback or a query, and then searches all outputs."""

KEYS: Final = {"north": "key-of-north", "south": "key-of-south", "east": "key-of-east"}
SECRETS: Final = {"north": "secret-of-north", "south": "new-secret-of-south", "east": "secret-of-east"}
OLD_SOUTH: Final = "old-secret-of-south"

CONFIDENTIAL: Final = PLANTED | {
    "the demo's api_key": DEMO_KEY,
    "the demo's api_secret": DEMO_SECRET,
    "an old secret of south": OLD_SOUTH,
    **{f"the api_key of {name}": key for name, key in KEYS.items()},
    **{f"the api_secret of {name}": secret for name, secret in SECRETS.items()},
}
"""All secrets and personal data of the tests, by name. No log may contain one of them."""

"""The secrets that the tests use, and the personal data of people who do not exist: nothing may ever say them."""

import json
from typing import Final

from deploy.local.stack import DEMO_KEY, DEMO_SECRET

NAME: Final = "Wilhelmina Plantagenet-Œuvre 张三丰"
EXTRA: Final = json.dumps({"name": NAME, "passport": "PLANTED-passport/4711+77"}, ensure_ascii=False)
NEEDLES: Final = {
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
    "a forged data": "PLANTED-text-of-a-forger-8",
    "a secret in broken settings": "PLANTED-broken-setting-9",
}
"""What is planted for the search, wherever the contract has a place for it."""

KEYS: Final = {"north": "key-of-north", "south": "key-of-south", "east": "key-of-east"}
SECRETS: Final = {"north": "secret-of-north", "south": "new-secret-of-south", "east": "secret-of-east"}
OLD_SOUTH: Final = "old-secret-of-south"

USED: Final = NEEDLES | {
    "the demo's api_key": DEMO_KEY,
    "the demo's api_secret": DEMO_SECRET,
    "an old secret of south": OLD_SOUTH,
    **{f"the api_key of {name}": key for name, key in KEYS.items()},
    **{f"the api_secret of {name}": secret for name, secret in SECRETS.items()},
}
"""All that processes of the tests are told in confidence."""

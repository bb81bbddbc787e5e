"""The official Python service SDK against the hub of CONNECTION_STRING, as far as it speaks REST: registry, modules,
twins, methods, query. What does not hold ends the program. The hub's CA certificate is in REQUESTS_CA_BUNDLE, and in CA
for the module client.
"""

import os

from azure.iot.device import IoTHubModuleClient, MethodResponse
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

CONNECTION_STRING = os.environ["CONNECTION_STRING"]
HOST = dict(part.split("=", 1) for part in CONNECTION_STRING.split(";"))["HostName"]
KEYS = ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
MANAGED = "me"


def fails(status, call, *arguments):
    try:
        call(*arguments)
    except HttpOperationError as error:
        found = error.response.status_code
        assert found == status, f"expected {status}, found {found}: {error.response.text}"
    else:
        raise AssertionError(f"expected {status}, found success")


def devices(registry):
    made = registry.create_device_with_sas("gw", *KEYS, "enabled")
    assert made.device_id == "gw" and made.authentication.symmetric_key.primary_key == KEYS[0]
    fails(409, registry.create_device_with_sas, "gw", *KEYS, "enabled")
    assert registry.get_device("gw").generation_id == made.generation_id
    fails(404, registry.get_device, "nobody")
    registry.create_device_with_x509("certified", "A" * 40, "B" * 40, "enabled")
    registry.create_device_with_certificate_authority("signed", "enabled")
    changed = registry.update_device_with_sas("gw", made.etag, *KEYS, "enabled", status_reason="in use")
    assert changed.status_reason == "in use"
    assert sorted(device.device_id for device in registry.get_devices()) == ["certified", "gw", "signed"]
    assert registry.get_device_registry_statistics().total_device_count == 3
    assert registry.get_service_statistics().connected_device_count == 0
    registry.delete_device("signed")
    fails(404, registry.get_device, "signed")


def modules(registry):
    made = registry.create_module_with_sas("gw", "cam", MANAGED, *KEYS)
    assert made.module_id == "cam" and made.managed_by == MANAGED
    registry.create_module_with_x509("gw", "fan", MANAGED, "A" * 64, "B" * 64)
    registry.create_module_with_certificate_authority("gw", "sun", MANAGED)
    assert sorted(module.module_id for module in registry.get_modules("gw")) == ["cam", "fan", "sun"]
    assert registry.get_module("gw", "fan").authentication.x509_thumbprint.primary_thumbprint == "A" * 64
    changed = registry.update_module_with_sas("gw", "cam", "you", made.etag, *KEYS)
    assert changed.managed_by == "you"
    fails(412, registry.update_module_with_sas, "gw", "cam", "you", "MTIz", *KEYS)
    registry.delete_module("gw", "sun")
    fails(404, registry.get_module, "gw", "sun")


def twins(registry):
    fresh = registry.get_module_twin("gw", "cam")
    assert fresh.properties.desired["$version"] == 1
    patch = Twin(tags={"site": "north"}, properties=TwinProperties(desired={"fps": 25}))
    patched = registry.update_module_twin("gw", "cam", patch, fresh.etag)
    assert patched.properties.desired["fps"] == 25 and patched.properties.desired["$version"] == 2
    fails(412, registry.update_module_twin, "gw", "cam", patch, fresh.etag)
    whole = Twin(properties=TwinProperties(desired={"only": True}))
    replaced = registry.replace_module_twin("gw", "cam", whole, patched.etag)
    assert "fps" not in replaced.properties.desired and not replaced.tags
    device = registry.update_twin("gw", Twin(properties=TwinProperties(desired={"a": 1})), "*")
    assert device.properties.desired["a"] == 1
    assert registry.get_twin("gw").properties.desired["$version"] == 2


def methods(registry):
    call = CloudToDeviceMethod(method_name="reboot", payload={"in": 5}, response_timeout_in_seconds=10)
    fails(404, registry.invoke_device_module_method, "gw", "cam", call)
    with open(os.environ["CA"]) as file:
        ca = file.read()
    text = f"HostName={HOST};DeviceId=gw;ModuleId=cam;SharedAccessKey={KEYS[0]}"
    module = IoTHubModuleClient.create_from_connection_string(text, server_verification_cert=ca)

    def answer(request):
        response = MethodResponse.create_from_method_request(request, 201, {"echo": request.payload})
        module.send_method_response(response)

    # Setting the handler connects, and returns when the subscription holds.
    module.on_method_request_received = answer
    result = registry.invoke_device_module_method("gw", "cam", call)
    assert (result.status, result.payload) == (201, {"echo": {"in": 5}}), result
    module.shutdown()


def queries(registry):
    query = QuerySpecification(query="SELECT * FROM devices.modules WHERE devices.deviceId = 'gw'")
    result = registry.query_iot_hub(query)
    assert sorted(twin.module_id for twin in result.items) == ["cam", "fan"]
    found, token = [], None
    while True:
        page = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"), token, 1)
        found += [twin.device_id for twin in page.items]
        token = page.continuation_token
        if token is None:
            break
    assert sorted(found) == ["certified", "gw"], found


def main():
    registry = IoTHubRegistryManager.from_connection_string(CONNECTION_STRING)
    devices(registry)
    modules(registry)
    twins(registry)
    methods(registry)
    queries(registry)


main()

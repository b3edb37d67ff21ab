"""gRPC health checking and server reflection, asked for by grpcio."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from brainctl.etcdpb import health_pb2 as healthpb
from brainctl.etcdpb import reflection_v1_pb2 as pb
from tests.unit.server.running import Running, running

HEALTH = "/grpc.health.v1.Health/"
OF_ALL = healthpb.HealthCheckRequest().SerializeToString()
OF_ONE = healthpb.HealthCheckRequest(service="etcdserverpb.Nothing").SerializeToString()


def test_the_server_as_a_whole_is_serving() -> None:
    async def story() -> None:
        async with running() as server:
            checked = healthpb.HealthCheckResponse.FromString(await server.unary(HEALTH + "Check", OF_ALL))
            assert checked.status == healthpb.HealthCheckResponse.SERVING
            listed = healthpb.HealthListResponse.FromString(await server.unary(HEALTH + "List", b""))
            assert dict(listed.statuses) == {"": checked}
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await server.unary(HEALTH + "Check", OF_ONE)
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND

    asyncio.run(story())


def test_a_watch_of_the_health_stays_open() -> None:
    async def story() -> None:
        async with running() as server:
            for request, status in (
                (OF_ALL, healthpb.HealthCheckResponse.SERVING),
                (OF_ONE, healthpb.HealthCheckResponse.SERVICE_UNKNOWN),
            ):
                call = server.channel.unary_stream(HEALTH + "Watch")(request)
                assert healthpb.HealthCheckResponse.FromString(await call.read()).status == status
                assert not call.done()
                call.cancel()

    asyncio.run(story())


async def ask(
    server: Running, version: str, *questions: pb.ServerReflectionRequest
) -> list[pb.ServerReflectionResponse]:
    async def sent() -> AsyncIterator[bytes]:
        for question in questions:
            yield question.SerializeToString()

    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    return [pb.ServerReflectionResponse.FromString(body) async for body in server.channel.stream_stream(path)(sent())]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_a_client_that_knows_nothing_can_learn_the_whole_api(version: str) -> None:
    """As grpcurl does it: list the services, get the files of each, and build the messages from those alone."""

    async def story() -> None:
        async with running() as server:
            (listed,) = await ask(server, version, pb.ServerReflectionRequest(list_services="*"))
            services = [service.name for service in listed.list_services_response.service]
            assert {"etcdserverpb.KV", "v3lockpb.Lock", "grpc.health.v1.Health"} <= set(services)
            answers = await ask(
                server, version, *(pb.ServerReflectionRequest(file_containing_symbol=name) for name in services)
            )
            pool = DescriptorPool()
            files = {
                file.name: file
                for answer in answers
                for body in answer.file_descriptor_response.file_descriptor_proto
                for file in (FileDescriptorProto.FromString(body),)
            }
            while files:
                ready = [file for file in files.values() if not files.keys() & set(file.dependency)]
                assert ready, "every import was sent"
                for file in ready:
                    pool.Add(file)  # type: ignore[no-untyped-call]
                    del files[file.name]
            for name in services:
                assert pool.FindServiceByName(name).methods

    asyncio.run(story())


def test_what_is_not_there_is_not_found() -> None:
    async def story() -> None:
        async with running() as server:
            answers = await ask(
                server,
                "v1",
                pb.ServerReflectionRequest(file_containing_symbol="etcdserverpb.Nothing"),
                pb.ServerReflectionRequest(file_by_filename="nothing.proto"),
                pb.ServerReflectionRequest(all_extension_numbers_of_type="etcdserverpb.PutRequest"),
                pb.ServerReflectionRequest(),
                pb.ServerReflectionRequest(file_by_filename="brainctl/etcdpb/kv.proto"),
            )
            assert [answer.error_response.error_code for answer in answers] == [5, 5, 5, 3, 0]

    asyncio.run(story())

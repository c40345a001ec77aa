"""Java programs, and Apache Curator among their libraries."""

import pytest

from devservers import ZooKeeper, compile_java, curator_classpath

REGISTER = """
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.*;

public class Register {
    public static void main(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], 4000, 4000, new RetryOneTime(100));
        client.start();
        ServiceInstance<Void> instance =
            ServiceInstance.<Void>builder().name("web").id("one").address("10.0.0.1").port(80).build();
        ServiceDiscovery<Void> discovery =
            ServiceDiscoveryBuilder.builder(Void.class).client(client).basePath("/services").build();
        discovery.start();
        discovery.registerService(instance);
        System.out.println("found " + discovery.queryForInstances("web").size());
        System.out.println("registered");
        Thread.sleep(Long.parseLong(args[1]));
    }
}
"""


def test_curator_registers_in_zookeeper_until_it_is_killed(zookeeper: ZooKeeper) -> None:
    program = compile_java(REGISTER, curator_classpath())
    with program.start(zookeeper.address, "60000", ready="registered") as running:
        assert "found 1" in running.log_tail()
        assert "/services/web/one" in zookeeper.ask("dump")
        running.kill()
        assert not running.is_running


def test_a_program_that_fails_says_why() -> None:
    failing = 'public class Failing { public static void main(String[] a) { throw new RuntimeException("of this"); } }'
    with pytest.raises(RuntimeError, match="of this"):
        compile_java(failing).run()


def test_a_program_that_does_not_compile_says_where() -> None:
    with pytest.raises(RuntimeError, match=r"Wrong\.java:1"):
        compile_java("public class Wrong { int x = ; }")

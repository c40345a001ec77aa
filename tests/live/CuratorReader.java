import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;

/** Prints what Apache Curator finds: arguments are the server, the base path and the name of a service. */
public class CuratorReader {
  public static void main(String[] arguments) throws Exception {
    try (CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], new RetryOneTime(100))) {
      client.start();
      try (ServiceDiscovery<Map> discovery =
          ServiceDiscoveryBuilder.builder(Map.class).client(client).basePath(arguments[1]).build()) {
        discovery.start();
        System.out.println("names " + discovery.queryForNames());
        Collection<ServiceInstance<Map>> found = discovery.queryForInstances(arguments[2]);
        for (ServiceInstance<Map> one : found) {
          Object payload = one.getPayload() == null ? null : new TreeMap<Object, Object>(one.getPayload());
          System.out.println(one.getId() + " " + one.getAddress() + ":" + one.getPort() + " " + payload);
        }
      }
    }
  }
}
